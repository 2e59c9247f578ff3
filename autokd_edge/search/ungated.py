"""The policy of optimisers that teach whatever they propose: baselines for the strategies that ask the device first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from autokd_edge.core.events import Action, Probe, Stop, Teach
from autokd_edge.core.pupil import Failed, Pupil
from autokd_edge.core.rungs import spent
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.search import pace
from autokd_edge.search.brackets import best_first, due
from autokd_edge.search.history import before_probes, lessons, searched, tried
from autokd_edge.search.phases import Phases
from autokd_edge.search.plan import Plan


class Proposer(Protocol):
    """An optimiser that learns a candidate's latency and accuracy together."""

    def propose(self, study: Study) -> Pupil | None:
        """Return a pupil that was never probed or taught, by a pure function of the study; None where there is none."""


class UngatedPolicy(Phases):
    """Probes what is proposed, and teaches it also where it breaks a limit; only what fits goes into the final.

    What cannot be built cannot be taught: the optimiser is asked again. On rungs, pupils are taught in brackets.
    """

    def __init__(
        self,
        proposer: Proposer,
        variants: tuple[Variant, ...],
        plan: Plan | None = None,
        *,
        members: Callable[[Point], int] | None = None,
    ) -> None:
        """Make a policy; ``members`` is ``StudentFamily.members``, None where every family has enough of them."""
        super().__init__(variants, plan, members)
        self._proposer = proposer

    def _search(self, study: Study) -> Action | None:
        pending, following = self._pending(study), due(study)
        if pending is not None:
            return _teach(study, pending, following.rung)
        if self._over(study, following.added_steps(study)):
            return self._end(study)
        if following.among:
            best = next(pupil for pupil in best_first(study, following.rung - 1) if pupil in following.among)
            return _teach(study, best, following.rung)
        pupil = self._proposer.propose(study)
        return None if pupil is None else Probe(members=(pupil.member,))

    def _is_mid_turn(self, study: Study) -> bool:
        return self._pending(study) is not None

    def _pending(self, study: Study) -> Pupil | None:
        """Return the pupil whose member was probed last, where it was built and not taught yet."""
        if not study.probes or isinstance(study.probes[-1].outcome, Failed):
            return None
        member = study.probes[-1].member
        if any(pupil.member == member for pupil in tried(study)):
            return None
        pupil = self._proposer.propose(before_probes(study, len(study.probes) - 1))
        assert pupil is not None, "the same study gave this member before"
        return pupil

    def _end(self, study: Study) -> Action | None:
        """Return None where the finals are due; where nobody was taught to the end, the best of the highest rung is."""
        if lessons(study):
            return None
        for rung in reversed(range(study.config.rungs - 1)):
            left = [pupil for pupil in best_first(study, rung) if not _broke_off(study, pupil)]
            if left:
                return _teach(study, left[0], study.config.rungs - 1)
        return Stop(reason=_nothing_taught(study))

    def _over(self, study: Study, steps: int) -> bool:
        done, budget = searched(study), study.config.budget
        latest = done[-self._plan.failures :]
        if len(latest) == self._plan.failures and all(isinstance(taught.outcome, Failed) for taught in latest):
            return True
        if len(study.probes) - len(tried(study)) >= self._plan.most_probes:
            return True
        if budget.seconds is not None:
            return bool(done) and study.elapsed_s + pace.teach_s(study, steps) > self._plan.search_share * budget.seconds
        return budget.teachings is not None and spent(study) >= budget.teachings


def _teach(study: Study, pupil: Pupil, rung: int) -> Teach:
    steps = study.config.rung_steps[rung]
    return Teach(pupil=pupil, steps=steps, final=False, of_steps=None if rung == study.config.rungs - 1 else study.config.search_steps)


def _broke_off(study: Study, pupil: Pupil) -> bool:
    return any(taught.pupil == pupil and isinstance(taught.outcome, Failed) for taught in searched(study))


def _nothing_taught(study: Study) -> str:
    outcomes = [*(probed.outcome for probed in study.probes), *(taught.outcome for taught in study.teachings)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    last = f"; the last failure: {failures[-1].error} in stage '{failures[-1].stage}': {failures[-1].message}" if failures else ""
    what = "taught" if study.teachings else "measured"
    return f"no candidate could be {what} after {len(study.probes)} probes{last}"
