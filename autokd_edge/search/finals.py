"""The last phase: probe the best pupil's family, teach its fitting members in full, grade their engines.

The fastest member goes first, because its margin protects the final reading. Once an engine keeps all
limits, the other members follow while the budget has time for a teaching as long as the first. While
none does, the fastest members of other families are tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autokd_edge.core.events import Action, GradeEngine, Probe, Stop, Teach
from autokd_edge.core.pupil import Failed, Grade, Member, Pupil
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.core.variants import may_win
from autokd_edge.search import pace
from autokd_edge.search.history import Reading, asked, lessons, readings
from autokd_edge.search.plan import Plan
from autokd_edge.search.verdicts import best_grade, closest


def begun(study: Study) -> bool:
    """Say whether the final phase has begun; it never goes back to searching."""
    return any(taught.final for taught in study.teachings) or any(probed.member.index > 0 for probed in study.probes)


def began_s(study: Study) -> float:
    """Return the seconds of work after which the final phase began; now where it did not yet."""
    ends_s = [taught.at_s for taught in study.teachings if taught.final] + [p.at_s for p in study.probes if p.member.index > 0]
    return max((s for s in study.ends_s if s < min(ends_s)), default=0.0) if ends_s else study.elapsed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lead:
    """A pupil of the search whose family goes into the final, and the member that does for now."""

    pupil: Pupil
    accuracy: float
    times_tried: int
    excess: float  # worst excess of the member chosen
    chosen: Member


class Finals:
    """The final phase of one study at one moment."""

    def __init__(self, study: Study, plan: Plan, variants: tuple[Variant, ...], members: Callable[[Point], int] | None) -> None:
        """Look at a study; ``members`` says how many members of a family differ, None that all do."""
        self._study = study
        self._plan = plan
        self._variants = variants
        self._members = members
        self._finals = tuple(taught for taught in study.teachings if taught.final)

    def next(self) -> Action:
        """Return the next action of the final phase."""
        ungraded = self._ungraded()
        if ungraded is not None:
            return ungraded
        kept = best_grade(self._study)
        if kept is not None:
            return self._another_member(kept.pupil) or Stop(reason=self._kept())
        lead, why = self._lead(), self._why_no_other()
        if lead is None or why:
            return Stop(reason=none_kept(self._study, why or "no other taught candidate is left"))
        unprobed = self._unprobed(lead.pupil.member.architecture)
        if unprobed:
            return Probe(members=unprobed)
        return Teach(pupil=Pupil(member=lead.chosen, distillation=lead.pupil.distillation), steps=self._steps(lead), final=True)

    def _ungraded(self) -> GradeEngine | None:
        """Return the next variant of the last finalist that may win and was not tried yet."""
        if not self._finals or isinstance(self._finals[-1].outcome, Failed):
            return None
        pupil = self._finals[-1].pupil
        graded = {grade.variant for grade in self._study.grades if grade.pupil == pupil}
        left = (variant for variant in may_win(self._study, pupil.member, self._variants) if variant not in graded)
        return next((GradeEngine(pupil=pupil, variant=variant) for variant in left), None)

    def _another_member(self, kept: Pupil) -> Teach | None:
        """Return the fastest fitting member that was not taught yet of the family whose engine keeps all limits; None without time."""
        first = next(taught for taught in self._finals if _of_one_family(taught.pupil, kept))
        rest = [
            r for r in self._fitting(kept.member.architecture) if not self._tried(Pupil(member=r.member, distillation=kept.distillation))
        ]
        seconds = self._study.config.budget.seconds
        if not rest or (seconds is not None and self._study.elapsed_s + self._finalist_s(first.steps, kept.member.architecture) > seconds):
            return None
        return Teach(pupil=Pupil(member=rest[0].member, distillation=kept.distillation), steps=first.steps, final=True)

    def _kept(self) -> str:
        taught = sum(not isinstance(final.outcome, Failed) for final in self._finals)
        return f"the engines of {taught} finalist{'s' if taught > 1 else ''} are graded and one keeps all limits"

    def _why_no_other(self) -> str:
        """Say why no other family may follow those that were tried; empty where one may. The first always may."""
        seconds = self._study.config.budget.seconds
        families = {final.pupil.member.architecture for final in self._finals}
        if len(families) >= self._plan.finalists:
            return f"all {self._plan.finalists} finalists were tried"
        least_s = pace.teach_s(self._study) + pace.grade_s(self._study)
        if self._finals and seconds is not None and self._study.elapsed_s + least_s > seconds:
            return f"the budget of {self._study.config.budget} leaves no time for another finalist"
        return ""

    def _lead(self) -> _Lead | None:
        """Return the most promising pupil: never tried, with the margin that the last finalist lacked, most accurate."""
        leads = []
        for pupil, accuracy in lessons(self._study):
            architecture = pupil.member.architecture
            family = [r for r in self._fitting(architecture) if not self._tried(Pupil(member=r.member, distillation=pupil.distillation))]
            if family:
                times = sum(final.pupil.member.architecture == architecture for final in self._finals)
                leads.append(_Lead(pupil=pupil, accuracy=accuracy, times_tried=times, excess=family[0].worst, chosen=family[0].member))
        most = self._excess_allowed()
        return min(leads, key=lambda lead: (lead.times_tried, max(0.0, lead.excess - most), -lead.accuracy), default=None)

    def _fitting(self, architecture: Point) -> list[Reading]:
        """Return the measured members of a family that keep all device limits, the fastest first."""
        family = [r for r in readings(self._study) if r.fits and r.member.architecture == architecture]
        return sorted(family, key=lambda r: (r.latency, r.member.index))

    def _tried(self, pupil: Pupil) -> bool:
        return any(final.pupil == pupil for final in self._finals)

    def _excess_allowed(self) -> float:
        """Return the excess at probing that would have passed the final reading, by the finalists so far.

        A finalist probed at 0.95 times the limit and read at 1.1 times in the end says that 0.86 times
        (an excess of -0.14) is needed. 0 where no finalist broke a device limit.
        """
        study = self._study
        probed = {reading.member: reading.worst for reading in readings(study)}
        allowed = 0.0
        for final in self._finals:
            grades = [g.outcome for g in study.grades if g.pupil == final.pupil and isinstance(g.outcome, Grade)]
            worst = [max((slack.excess for slack in study.slacks(grade.measurement)), default=0.0) for grade in grades]
            if worst and min(worst) > 0 and final.pupil.member in probed:
                allowed = min(allowed, (1 + probed[final.pupil.member]) / (1 + min(worst)) - 1)
        return allowed

    def _unprobed(self, architecture: Point) -> tuple[Member, ...]:
        """Return the members of the family to probe; none where the time left is needed for teaching."""
        most = self._study.config.final_members
        count = most if self._members is None else min(most, self._members(architecture))
        known = asked(self._study)
        members = tuple(m for i in range(count) if (m := Member(architecture=architecture, index=i)) not in known)
        cost_s = len(members) * pace.probe_s(self._study) + pace.teach_s(self._study)
        return members if cost_s <= self._left_s() else ()

    def _steps(self, lead: _Lead) -> int:
        """Return the optimiser steps of a finalist; under a time budget its fitting family shares the time if it is enough."""
        config = self._study.config
        if config.final_steps is not None:
            return config.final_steps
        if config.budget.seconds is None:
            return self._plan.final_factor * config.search_steps
        architecture = lead.pupil.member.architecture
        rate = pace.steps_per_s(self._study, architecture) or 0.0
        full = self._plan.full_factor * config.search_steps
        best = 0
        for sharers in range(len(self._fitting(architecture)), 0, -1):
            left_s = self._left_s() - (sharers - 1) * self._grading_s()  # the plan's share is for one
            best = int(left_s * rate / sharers)
            if best >= full:
                break
        return max(config.search_steps, best)

    def _left_s(self) -> float:
        """Return the seconds left for probing and teaching; without end where the budget is not a time."""
        seconds = self._study.config.budget.seconds
        return float("inf") if seconds is None else seconds * (1 - self._plan.grading_share) - self._study.elapsed_s

    def _grading_s(self) -> float:
        """Return the seconds that grading a finalist takes; the teacher's own reading tells before the first."""
        reference = self._study.reference
        one_s = pace.grade_s(self._study) or (reference.at_s if reference is not None else 0.0)
        return len(self._variants) * one_s

    def _finalist_s(self, steps: int, architecture: Point) -> float:
        """Return the seconds that teaching a member for so many steps and grading it takes."""
        rate = pace.steps_per_s(self._study, architecture)
        return self._grading_s() + (steps / rate if rate else 0.0)


def _of_one_family(one: Pupil, other: Pupil) -> bool:
    return one.member.architecture == other.member.architecture and one.distillation == other.distillation


def none_kept(study: Study, why: str) -> str:
    """Say that no engine keeps all limits, why no other is tried, and which came closest or what failed last."""
    if any(isinstance(graded.outcome, Grade) for graded in study.grades):
        return f"no engine keeps all limits: {why}; {closest(study)}"
    outcomes = [*(taught.outcome for taught in study.teachings), *(graded.outcome for graded in study.grades)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    last = f"; the last failure: {failures[-1].error} in stage '{failures[-1].stage}': {failures[-1].message}" if failures else ""
    return f"no engine could be graded: {why}{last}"
