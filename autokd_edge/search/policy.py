"""The next action of a study: probe a pool, alternate probes and teachings, then the finals.

Probes are chosen in batches. The choice of a batch sees only what was known when the batch began, so
that a study that was cut off inside a batch goes on with the same members.

With several workers the board goes on being probed while they teach: a batch for each teaching that was begun. A
worker that became free comes first, also in the middle of a batch.
"""

from __future__ import annotations

from collections.abc import Callable

from autokd_edge.core.events import Action, Begun, Probe, Stop, Teach, Wait
from autokd_edge.core.pupil import Failed, Member, Pupil
from autokd_edge.core.rungs import added_steps, running_steps, spent, steps_for
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.search import pace
from autokd_edge.search.chooser import Chooser
from autokd_edge.search.history import as_it_was, asked, before_probes, chosen, fitting, lessons, own_teachings, searched, suitable
from autokd_edge.search.ladder import paused, places
from autokd_edge.search.phases import Phases
from autokd_edge.search.plan import Plan
from autokd_edge.search.verdicts import closest


class PhasedPolicy(Phases):
    """Decides when to probe, teach, grade and stop; ``chooser`` decides what."""

    def __init__(
        self,
        chooser: Chooser,
        variants: tuple[Variant, ...],
        plan: Plan | None = None,
        *,
        members: Callable[[Point], int] | None = None,
    ) -> None:
        """Make a policy; ``members`` is ``StudentFamily.members``, None where every family has enough of them."""
        super().__init__(variants, plan, members)
        self._chooser = chooser

    def _search(self, study: Study) -> Action | None:
        """Return the next action of the search, or None where the finals are due."""
        if study.config.workers > 1:
            return self._beside(study)
        rest = self._rest_of_batch(study)
        if rest:
            return self._probe(study, rest)
        if self._teachings_are_over(study):
            return self._end(study)
        if not fitting(study):
            return self._probe_on(study)
        return self._round(study)

    def _round(self, study: Study) -> Action | None:
        """Return the next step of a round: who paused is taught on, or a batch of probes and a new teaching."""
        onward = self._onward(study)
        if onward is not None:
            return onward
        wanted = self._probes_due(study)
        if not self._time_for_round(study, steps=study.config.rung_steps[0], probes=wanted):
            return self._end(study)
        members = self._chooser.probe(study, self._plan.batch) if wanted else ()
        pupil = None if members else self._chooser.teach(study)
        if pupil is not None:
            return _teach(study, pupil, rung=0)
        if not wanted and self._probes_since_teaching(study) < self._plan.most_probes:
            members = self._chooser.probe(study, self._plan.batch)  # everything that fits was taught
        if members:
            return self._probe(study, members)
        return self._end(study)

    def _beside(self, study: Study) -> Action | None:
        """Return the next action where the board is probed while pupils are taught."""
        rest = self._rest_of_batch(study)
        if rest and study.probes[-1].at_s == study.elapsed_s:  # whoever probes goes on unasked until a teaching ends
            return self._probe(study, rest)
        if not fitting(study):
            return self._probe(study, rest) if rest else self._probe_on(study)
        wanted = self._probes_due(study)
        over = self._teachings_are_over(study) or not self._time_for_round(study, steps=study.config.rung_steps[0], probes=False)
        is_pool = wanted and not _own_beginnings(study)
        teach = None if is_pool else self._another_teaching(study, over=over)
        if teach is not None:
            return teach
        if not rest and not over and (wanted or self._is_short_of_pupils(study)):
            rest = self._chooser.probe(study, self._plan.batch)
        if rest:
            return self._probe(study, rest)
        return Wait() if study.running else self._end(study)

    def _another_teaching(self, study: Study, *, over: bool) -> Teach | None:
        """Return the teaching for a free worker, where there is one and a pupil for it."""
        if len(study.running) >= study.config.workers or self._teachings_are_over(study):
            return None
        onward = self._onward(study)
        pupil = None if onward is not None or over else self._chooser.teach(study)
        return onward if pupil is None else _teach(study, pupil, rung=0)

    def _is_short_of_pupils(self, study: Study) -> bool:
        """Say whether a worker is free although everything that fits was taught."""
        return len(study.running) < study.config.workers and self._probes_since_teaching(study) < self._plan.most_probes

    def _onward(self, study: Study) -> Teach | None:
        """Return the teaching of the most promising pupil of the highest rung that has a place on the next one."""
        waiting = paused(study)
        for rung in places(study):
            among = [one for one in waiting if one.rung == rung]
            steps = study.config.rung_steps[rung + 1] - study.config.rung_steps[rung]
            if among and self._time_for_round(study, steps=steps, probes=False):
                return _teach(study, self._chooser.promising(study, among).pupil, rung=rung + 1)
        return None

    def _end(self, study: Study) -> Action | None:
        """Return None where the finals are due; where no pupil that fits was taught to its end, the most promising one is."""
        if suitable(study):
            return None
        waiting = paused(study)
        if waiting:
            return _teach(study, self._chooser.promising(study, waiting).pupil, rung=study.config.rungs - 1)
        return Stop(reason=self._no_lesson(study))

    def _rest_of_batch(self, study: Study) -> tuple[Member, ...]:
        """Return what is left of a batch of probes that was cut off; none between batches, and where the search's time is over."""
        own = chosen(study)
        done, until_s = len(own) % self._plan.batch, self._until_s(study)
        if done == 0 or (until_s is not None and study.elapsed_s > until_s):
            return ()
        known, first = asked(study), own[-done]
        then = before_probes(study, study.probes.index(first)) if study.config.workers == 1 else as_it_was(study, first.at_s)
        batch = self._chooser.probe(then, self._plan.batch)
        return tuple(member for member in batch if member not in known)

    def _probe(self, study: Study, members: tuple[Member, ...]) -> Probe:
        return Probe(members=members, until_s=self._until_s(study))

    def _until_s(self, study: Study) -> float | None:
        """Return when the search ends, also in the middle of a batch: the finals need the rest of the time; None without a time budget."""
        seconds = study.config.budget.seconds
        return None if seconds is None else self._plan.search_share * seconds

    def _is_mid_turn(self, study: Study) -> bool:
        return bool(self._rest_of_batch(study))

    def _probe_on(self, study: Study) -> Action:
        """Probe while nothing fits, up to the cap."""
        count, seconds = len(study.probes), study.config.budget.seconds
        if count >= self._plan.most_probes:
            return Stop(reason=self._nothing_fits(study, f"after {count} probes"))
        if count and seconds is not None and study.elapsed_s > self._plan.search_share * seconds:
            return Stop(reason=self._nothing_fits(study, f"after {count} probes and {self._plan.search_share:.0%} of the budget"))
        members = self._chooser.probe(study, self._plan.batch)
        return self._probe(study, members) if members else Stop(reason=self._nothing_fits(study, f"in the whole space of {count}"))

    def _probes_due(self, study: Study) -> bool:
        """Say whether the pool is not full yet, or steps of a whole teaching were taken since the last batch."""
        seconds = study.config.budget.seconds
        begun = _own_beginnings(study)
        if not (begun or own_teachings(study)):
            in_time = seconds is None or study.elapsed_s <= self._plan.pool_share * seconds
            return len(chosen(study)) < self._plan.pool and in_time
        if begun:
            since = sum(probed.at_s > begun[0].at_s for probed in chosen(study)) / self._plan.batch
            return since < steps_for(study, study.number) / study.config.search_steps
        last_s = max((probed.at_s for probed in chosen(study)), default=0.0)
        since = sum(steps for taught, steps in added_steps(study) if taught.goal == study.number and taught.at_s > last_s)
        return since >= study.config.search_steps

    def _probes_since_teaching(self, study: Study) -> int:
        done = own_teachings(study)
        return sum(probed.at_s >= done[-1].at_s for probed in chosen(study)) if done else len(study.probes)

    def _time_for_round(self, study: Study, *, steps: int, probes: bool) -> bool:
        """Say whether a teaching of so many steps, after a batch of probes where one is due, ends within the search's share."""
        seconds = study.config.budget.seconds
        if seconds is None or not searched(study):
            return True
        cost_s = pace.teach_s(study, steps) + (self._plan.batch * pace.probe_s(study) if probes else 0.0)
        in_time = study.elapsed_s + cost_s <= self._plan.search_share * seconds
        return in_time or not (suitable(study) or paused(study) or study.running)

    def _teachings_are_over(self, study: Study) -> bool:
        done, most = searched(study), study.config.budget.teachings
        latest = done[-self._plan.failures :]
        broken = len(latest) == self._plan.failures and all(isinstance(taught.outcome, Failed) for taught in latest)
        begun = sum(steps for _, steps in running_steps(study)) / study.config.search_steps
        return broken or (most is not None and spent(study) + begun >= most)

    def _nothing_fits(self, study: Study, when: str) -> str:
        nearest = closest(study)
        if nearest is None:
            failures = [probed.outcome for probed in study.probes if isinstance(probed.outcome, Failed)]
            last = f"; the last failure: {failures[-1].error} in stage '{failures[-1].stage}': {failures[-1].message}" if failures else ""
            return f"no candidate could be measured {when}{last}"
        return f"no candidate fits {when}; {nearest}"

    def _no_lesson(self, study: Study) -> str:
        if lessons(study):  # of pupils that other goals asked for
            return "no candidate that was taught fits" if fitting(study) else self._nothing_fits(study, f"after {len(study.probes)} probes")
        failures = [taught.outcome for taught in study.teachings if isinstance(taught.outcome, Failed)]
        return f"no candidate could be taught in {len(failures)} tries; the last failure: {failures[-1].message}"


def _own_beginnings(study: Study) -> tuple[Begun, ...]:
    """Return the teachings of the search that were begun for this goal beside others."""
    return tuple(begun for begun in study.beginnings if not begun.final and begun.goal == study.number)


def _teach(study: Study, pupil: Pupil, *, rung: int) -> Teach:
    """Return the teaching of a pupil up to a rung."""
    steps = study.config.rung_steps[rung]
    return Teach(pupil=pupil, steps=steps, final=False, of_steps=study.config.search_steps if rung < study.config.rungs - 1 else None)
