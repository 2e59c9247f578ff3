"""The last phase: probe the best pupil's family, teach its fitting members in full, grade their engines.

The fastest member goes first, because its margin protects the final reading. Each is read by the final protocol
before it is taught, and who breaks a limit there is not. Once an engine keeps all limits, the other members
follow while the budget has time for a teaching as long as the first. While none does, the fastest members
of other families are tried. Where nobody else can be taught, students as the search taught them are graded: one that
was taught for less long is better than none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from autokd_edge.core.events import Action, Begun, Confirm, Confirmed, Graded, GradeEngine, Probe, Stop, Taught, Teach, Wait
from autokd_edge.core.pupil import Failed, Grade, Member, Pupil
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.core.variants import comparison, may_win
from autokd_edge.search import confirmations, pace
from autokd_edge.search.history import Reading, asked
from autokd_edge.search.leads import Lead, Leads
from autokd_edge.search.plan import Plan
from autokd_edge.search.verdicts import best_grade, closest

# Steps of a lesson that take as long as one of tuning: medians of 2.4, 2.4 and 1.9 for resnet8, mobilenetv2-0.25 and a student of
# nago (digits, one thread of an AMD EPYC with AVX-512 BF16, in turns; load average 5).
TUNING_STEP = 2.4


def begun(study: Study) -> bool:
    """Say whether the final phase has begun; it never goes back to searching."""
    return bool(_ends_s(study))


def began_s(study: Study) -> float:
    """Return the seconds of work after which the final phase began; now where it did not yet."""
    ends_s = _ends_s(study)
    return max((s for s in study.ends_s if s < min(ends_s)), default=0.0) if ends_s else study.elapsed_s


def _ends_s(study: Study) -> list[float]:
    """Return when each event of the final phase before its gradings ended."""
    taught = [taught.at_s for taught in study.teachings if taught.final] + [begun.at_s for begun in study.beginnings if begun.final]
    probed = (probed.at_s for probed in study.probes if probed.member.index > 0)
    return [*taught, *probed, *(confirmed.at_s for confirmed in study.confirmations)]


class Finals:
    """The final phase of one study at one moment."""

    def __init__(self, study: Study, plan: Plan, variants: tuple[Variant, ...], members: Callable[[Point], int] | None) -> None:
        """Look at a study; ``members`` says how many members of a family differ, None that all do."""
        self._study = study
        self._plan = plan
        self._variants = variants
        self._members = members
        self._finals = tuple(taught for taught in study.teachings if taught.final)
        self._refused = confirmations.refused(study, variants)
        self._running = tuple(begun for begun in study.running if begun.final)
        self._leads = Leads(study, finals=self._finals, running=self._running, refused=self._refused)
        self._workers = study.config.workers

    def next(self) -> Action:
        """Return the next action of the final phase."""
        if self._running:
            return self._beside(self._running[0]) or Wait()
        ungraded = self._ungraded()
        if ungraded is not None:
            return ungraded
        kept = best_grade(self._study)
        if kept is not None:
            return self._another_member(kept.pupil) or Stop(reason=self._kept(kept.pupil))
        lead = self._leads.first()
        why = "no other taught candidate is left" if lead is None else self._why_not(lead)
        if lead is None or why:
            return self._short_lesson() or Stop(reason=none_kept(self._study, f"{why}{self._refused_in_words()}"))
        unprobed = self._unprobed(lead.pupil.member.architecture)
        if unprobed:
            return Probe(members=unprobed)
        steps, sharers = self._shared(lead)
        pupil = Pupil(member=lead.members[0].member, distillation=lead.pupil.distillation)
        return self._confirm(lead.members[:sharers]) or Teach(pupil=pupil, steps=steps, final=True)

    def _ungraded(self) -> GradeEngine | None:
        """Return the next variant of the last finalist, or of those that were taught beside it, that may win and was not tried yet."""
        latest = self._finals if self._workers > 1 else self._finals[-1:]
        return self._next_grade([final.pupil for final in latest if not isinstance(final.outcome, Failed)])

    def _next_grade(self, pupils: Sequence[Pupil]) -> GradeEngine | None:
        for pupil in pupils:
            graded = {grade.variant for grade in self._study.grades if grade.pupil == pupil}
            left = (variant for variant in may_win(self._study, pupil.member, self._variants) if variant not in graded)
            known = (variant for variant in left if not confirmations.breaks(self._study, pupil.member, variant))
            found = next(known, None)
            if found is not None:
                return GradeEngine(pupil=pupil, variant=found)
        return None

    def _short_lesson(self) -> GradeEngine | None:
        """Return the next grading of the best students that the search taught and that have the margin the finalists lacked."""
        finalists = {final.pupil for final in self._finals}
        with_margin = sorted(self._leads.with_margin(), key=lambda lesson: -lesson[1])
        return self._next_grade([pupil for pupil, _ in with_margin if pupil not in finalists][: self._plan.short_lessons])

    def _beside(self, begun: Begun) -> Teach | None:
        """Return the teaching of another member of the family beside one that runs: of one that needs no reading before."""
        rest = [r for r in self._leads.untaught(begun.pupil) if confirmations.is_confirmed(self._study, r.member)]
        if len(self._running) >= self._workers or not rest or not self._time_for(begun.steps, rest[0]):
            return None
        return Teach(pupil=Pupil(member=rest[0].member, distillation=begun.pupil.distillation), steps=begun.steps, final=True)

    def _time_for(self, steps: int, reading: Reading) -> bool:
        """Say whether a member can be confirmed, taught for so many steps and graded in time."""
        seconds = self._study.config.budget.seconds
        return seconds is None or self._study.elapsed_s + self._finalist_s(steps, reading) <= seconds

    def _confirm(self, members: Sequence[Reading]) -> Confirm | None:
        """Return the next reading by the final protocol that these members need before they are taught."""
        for reading in members:
            variant = confirmations.next_variant(self._study, reading.member, self._variants)
            if variant is not None:
                return Confirm(member=reading.member, variant=variant)
        return None

    def _another_member(self, kept: Pupil) -> Confirm | Teach | None:
        """Go on with the fastest fitting member that was not taught yet of the family whose engine keeps all limits.

        None without time for it, or where that family is of the search alone.
        """
        first = next((taught for taught in self._finals if _of_one_family(taught.pupil, kept)), None)
        rest = self._leads.untaught(kept)
        if first is None or not rest or not self._time_for(first.steps, rest[0]):
            return None
        pupil = Pupil(member=rest[0].member, distillation=kept.distillation)
        return self._confirm(rest[: self._workers]) or Teach(pupil=pupil, steps=first.steps, final=True)

    def _kept(self, pupil: Pupil) -> str:
        if pupil not in {final.pupil for final in self._finals}:
            return f"no finalist keeps all limits; a student that the search taught for {self._study.config.search_steps} steps does"
        taught = sum(not isinstance(final.outcome, Failed) for final in self._finals)
        return f"the engines of {taught} finalist{'s' if taught > 1 else ''} are graded and one keeps all limits"

    def _why_not(self, lead: Lead) -> str:
        """Say why no other family may follow those that were tried; empty where one may. The first always may."""
        seconds = self._study.config.budget.seconds
        families = {final.pupil.member.architecture for final in self._finals}
        if len(families) >= self._plan.finalists:
            return f"all {self._plan.finalists} finalists were tried"
        if len(self._refused) >= self._plan.refusals and not lead.is_confirmed:
            return "no more finalists are read"
        least_s = pace.teach_s(self._study) + pace.grade_s(self._study) + self._confirming_s(lead.members[:1])
        followed = bool(self._finals) or (bool(self._refused) and not lead.is_confirmed)
        if followed and seconds is not None and self._study.elapsed_s + least_s > seconds:
            return f"the budget of {self._study.config.budget} leaves no time for another finalist"
        return ""

    def _refused_in_words(self) -> str:
        count = len(self._refused)
        return f"; {count} untrained finalist{'s were' if count > 1 else ' was'} refused by the final protocol" if count else ""

    def _unprobed(self, architecture: Point) -> tuple[Member, ...]:
        """Return the members of the family to probe; none where the time left is needed for teaching."""
        most = self._study.config.final_members
        count = most if self._members is None else min(most, self._members(architecture))
        known = asked(self._study)
        members = tuple(m for i in range(count) if (m := Member(architecture=architecture, index=i)) not in known)
        cost_s = len(members) * pace.probe_s(self._study) + pace.teach_s(self._study)
        return members if cost_s <= self._left_s() else ()

    def _shared(self, lead: Lead) -> tuple[int, int]:
        """Return the optimiser steps of a finalist and how many members are taught as long, as far as the time must be shared."""
        config = self._study.config
        least = min(self._workers, len(lead.members))  # who are taught beside each other share no time
        if config.final_steps is not None:
            return config.final_steps, least
        if config.budget.seconds is None:
            return self._plan.final_factor * config.search_steps, least
        rate = pace.steps_per_s(self._study, lead.pupil.member.architecture) or 0.0
        full = self._plan.full_factor * config.search_steps
        best, sharers = 0, least
        for sharers in range(len(lead.members), least - 1, -1):
            others_s = (sharers - 1) * self._grading_s()  # the plan's share is for one
            left_s = self._left_s() - others_s - self._confirming_s(lead.members[:sharers])
            best = int((left_s * rate - sharers * self._tuning_steps()) / math.ceil(sharers / self._workers))
            if best >= full:
                break
        return max(config.search_steps, best), sharers

    def _left_s(self) -> float:
        """Return the seconds left for probing and teaching; without end where the budget is not a time."""
        seconds = self._study.config.budget.seconds
        return float("inf") if seconds is None else seconds * (1 - self._plan.grading_share) - self._study.elapsed_s

    def _grading_s(self) -> float:
        """Return the seconds that grading a finalist takes; the teacher's own reading tells before the first."""
        reference = self._study.reference
        one_s = pace.grade_s(self._study) or (reference.at_s if reference is not None else 0.0)
        return sum(not comparison(self._study, variant).skipped for variant in self._variants) * one_s

    def _confirming_s(self, members: Sequence[Reading]) -> float:
        """Return the seconds that it takes to read those of some members by the final protocol that were not yet."""
        waiting = sum(not confirmations.is_confirmed(self._study, reading.member) for reading in members)
        return waiting * pace.confirm_s(self._study)

    def _finalist_s(self, steps: int, reading: Reading) -> float:
        """Return the seconds that confirming a member, teaching it for so many steps and grading it takes."""
        rate = pace.steps_per_s(self._study, reading.member.architecture)
        return self._confirming_s([reading]) + self._grading_s() + ((steps + self._tuning_steps()) / rate if rate else 0.0)

    def _tuning_steps(self) -> float:
        """Return how many steps of a lesson take as long as tuning an INT8 graph once, should it be needed."""
        quantised = any(variant.precision == "int8" for variant in self._variants)
        return TUNING_STEP * self._study.config.qat_steps if quantised else 0.0


def _of_one_family(one: Pupil, other: Pupil) -> bool:
    return one.member.architecture == other.member.architecture and one.distillation == other.distillation


def none_kept(study: Study, why: str) -> str:
    """Say that no engine keeps all limits, why no other is tried, and which came closest or what failed last."""
    refused = any(confirmations.breaks(study, one.member, one.variant) for one in study.confirmations)
    if refused or any(isinstance(graded.outcome, Grade) for graded in study.grades):
        return f"no engine keeps all limits: {why}; {closest(study)}"
    events: tuple[Taught | Confirmed | Graded, ...] = (*study.teachings, *study.confirmations, *study.grades)
    outcomes = [event.outcome for event in events]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    last = f"; the last failure: {failures[-1].error} in stage '{failures[-1].stage}': {failures[-1].message}" if failures else ""
    return f"no engine could be graded: {why}{last}"
