"""What a report is about: a study, what it came to, and the facts about it that tables and plots share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol as Structure

from autokd_edge.core.events import Graded, Probed, Taught
from autokd_edge.core.explanation import Explanation
from autokd_edge.core.limits import Slack
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Cost, Failed, Grade, Lesson, Member, Screened
from autokd_edge.core.student import StudentSpec
from autokd_edge.core.study import Study
from autokd_edge.core.tuning import Tuning


class AccuracyFact(Structure):
    """An accuracy of a bundle's manifest, by structure: a report knows no bundles."""

    @property
    def what(self) -> str:
        """Teacher, student float or student engine."""

    @property
    def split(self) -> str:
        """Validation or test."""

    @property
    def percent(self) -> float:
        """The accuracy in %."""

    @property
    def computed_by(self) -> str:
        """Runtime and precision."""

    @property
    def machine(self) -> str:
        """Processor that computed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFront:
    """An engine on the front; ``bundle`` is its folder below that of the run, empty while it is not written."""

    graded: Graded
    bundle: str
    accuracies: Sequence[AccuracyFact] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A study and what it came to.

    ``best`` is the graded engine that was or would be shipped; ``closest`` says in a sentence which
    candidate came closest where there is none; ``accuracies`` are those of the bundle's manifest;
    ``explanation`` is None where the study's models could not be asked; ``tuning`` is that of the shipped engine; ``front``
    is that of a study of one, the fastest engine first, and ``best`` then the most accurate one of it.
    """

    name: str
    study: Study
    best: Graded | None
    closest: str = ""
    accuracies: Sequence[AccuracyFact] = ()
    student: StudentSpec | None = None
    teacher: StudentSpec | None = None
    explanation: Explanation | None = None
    tuning: Tuning | None = None
    front: tuple[OnFront, ...] = ()

    def accuracy(self, what: str, split: str) -> AccuracyFact | None:
        """Return an accuracy of the manifest, if it is there."""
        return next((a for a in self.accuracies if a.what == what and a.split == split), None)

    @property
    def grade(self) -> Grade | None:
        """The best engine's grade."""
        return self.best.outcome if self.best is not None and isinstance(self.best.outcome, Grade) else None

    @property
    def teacher_reading(self) -> Measurement | None:
        """The teacher's reading by the protocol of the best grade, or its last one."""
        reference = self.study.reference
        if reference is None or not reference.measurements:
            return None
        protocol = self.grade.measurement.protocol if self.grade is not None else reference.measurements[-1].protocol
        return next((m for m in reference.measurements if m.protocol == protocol), reference.measurements[-1])

    @property
    def student_cost(self) -> Cost | None:
        """Exact counts of the best engine's network."""
        return None if self.best is None else cost_of(self.study, self.best.pupil.member)

    @property
    def percentile(self) -> float:
        """The percentile that the latency limit bounds; the median where there is no such limit."""
        limit = self.study.goal.limits.latency
        return 50.0 if limit is None else limit.percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Candidates that were refused at one stage for one reason; ``example`` is what one of them said."""

    stage: str
    reason: str
    count: int
    example: str


def cost_of(study: Study, member: Member) -> Cost | None:
    """Return the counts of a member that was probed."""
    return next((p.outcome.cost for p in study.probes if p.member == member and isinstance(p.outcome, Screened)), None)


def reading_of(study: Study, member: Member) -> Measurement | None:
    """Return the screening reading of a member that was probed, in its best variant."""
    return next((study.best(p.outcome) for p in study.probes if p.member == member and isinstance(p.outcome, Screened)), None)


def untrained_median_ns(study: Study, graded: Graded) -> float | None:
    """Return the median of the untrained engine, where it was read in the variant of the taught one."""
    outcomes = (p.outcome for p in study.probes if p.member == graded.pupil.member)
    readings = (outcome.reading(graded.variant) for outcome in outcomes if isinstance(outcome, Screened))
    return next((reading.median_ns for reading in readings if reading is not None), None)


def broken(slacks: Iterable[Slack]) -> tuple[str, ...]:
    """Name the limits that are broken."""
    return tuple(slack.limit for slack in slacks if slack.excess > 0)


def why_refused(study: Study, probed: Probed) -> tuple[str, ...]:
    """Name the device limits that a measured member breaks; empty where it keeps all or was not measured."""
    return broken(study.slacks(study.best(probed.outcome))) if isinstance(probed.outcome, Screened) else ()


def refusals(study: Study) -> tuple[Refusal, ...]:
    """Count what was refused and why, the most frequent first."""
    reasons: list[tuple[str, str, str]] = []
    for probed in study.probes:
        if isinstance(probed.outcome, Failed):
            reasons.append(_failure(probed.outcome))
        elif limits := why_refused(study, probed):
            reasons.append(("probe", _above(limits), ""))
    for confirmed in study.confirmations:
        if isinstance(confirmed.outcome, Failed):
            reasons.append(_failure(confirmed.outcome))
        elif limits := broken(study.slacks(confirmed.outcome)):
            reasons.append(("confirm", _above(limits), ""))
    reasons.extend(_failure(taught.outcome) for taught in study.teachings if isinstance(taught.outcome, Failed))
    for graded in study.grades:
        if isinstance(graded.outcome, Failed):
            reasons.append(_failure(graded.outcome))
        elif limits := broken(study.grade_slacks(graded.outcome)):
            reasons.append(("grade", _above(limits), ""))
    examples = {(stage, reason): example for stage, reason, example in reversed(reasons)}
    counts = Counter((stage, reason) for stage, reason, _ in reasons).most_common()
    return tuple(Refusal(stage=s, reason=r, count=count, example=examples[s, r]) for (s, r), count in counts)


def lessons(study: Study) -> tuple[tuple[Taught, Lesson], ...]:
    """Return the teachings that succeeded and came to their end, in order."""
    ended = (taught for taught in study.teachings if taught.of_steps is None)
    return tuple((taught, taught.outcome) for taught in ended if isinstance(taught.outcome, Lesson))


def paused_count(study: Study) -> int:
    """Return how many pupils were taught on lower rungs alone."""
    last = {taught.pupil: taught for taught in study.teachings if not taught.final}
    return sum(taught.of_steps is not None for taught in last.values())


def taught_in_words(study: Study) -> str:
    """Say how many teachings there were, those on lower rungs alone apart."""
    whole, below = sum(taught.of_steps is None for taught in study.teachings), paused_count(study)
    return f"{whole} (and {below} more on lower rungs alone)" if below else str(whole)


def grades(study: Study) -> tuple[tuple[Graded, Grade], ...]:
    """Return the engines that were graded, in order."""
    return tuple((graded, graded.outcome) for graded in study.grades if isinstance(graded.outcome, Grade))


def engine_name(study: Study, graded: Graded) -> str:
    """Name an engine by its variant, and by the number of its student where several were graded."""
    pupils = list(dict.fromkeys(known.pupil for known, _ in grades(study)))
    whose = f"student {pupils.index(graded.pupil) + 1}, " if len(pupils) > 1 else ""
    return f"{whose}{graded.variant}"


def front(found: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the (latency, accuracy) pairs that no other beats in both, by rising latency."""
    kept: list[tuple[float, float]] = []
    for latency, accuracy in sorted(found, key=lambda pair: (pair[0], -pair[1])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((latency, accuracy))
    return tuple(kept)


def _failure(failed: Failed) -> tuple[str, str, str]:
    return failed.stage, failed.error, failed.message


def _above(limits: tuple[str, ...]) -> str:
    names = ["accuracy drop" if limit == "accuracy" else limit for limit in limits]
    return f"{' and '.join(names)} above the limit"
