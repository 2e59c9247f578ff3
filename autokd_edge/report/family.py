"""What the members of the best family came to: each one's accuracy and latency, their mean and spread.

The paper's point is that a family is found, not one network: members drawn from it should all be good.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autokd_edge.core.codec import Json
from autokd_edge.core.events import Graded, Taught
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Grade, Lesson, Pupil, Screened
from autokd_edge.core.study import Study, keeps
from autokd_edge.report import wording
from autokd_edge.report.comparison import ABSENT

COLUMNS = ("Member", "Accuracy, validation, float", "Best engine", "Its accuracy, validation", "Latency, median, untrained")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean, standard deviation of the sample (None for one value), smallest and largest."""

    count: int
    mean: float
    deviation: float | None
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtMember:
    """A member that was taught in full; ``engine`` is its most accurate one that keeps all limits."""

    index: int
    accuracy: float  # of the float network, validation, in %
    median_ns: float | None  # of the untrained engine, screen protocol
    engine: Graded | None

    @property
    def engine_accuracy(self) -> float | None:
        """Accuracy of the engine on the validation set, in %."""
        return self.engine.outcome.accuracy if self.engine is not None and isinstance(self.engine.outcome, Grade) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The family of the best engine; its members were taught for ``steps``, with one distillation point.

    ``in_full`` says whether in the final phase: where no finalist keeps the limits, a student of the search may.
    """

    pupil: Pupil  # whose architecture and distillation they share
    steps: int
    probed: int
    fitting: int
    failed: int  # teachings that ended without a lesson
    members: tuple[TaughtMember, ...]
    readings: tuple[Measurement, ...]  # of all measured members, untrained
    in_full: bool = True

    @property
    def latency_ns(self) -> Spread | None:
        """Spread of the medians of all measured members, untrained."""
        return spread([reading.median_ns for reading in self.readings])

    @property
    def accuracy(self) -> Spread | None:
        """Spread of the float networks' accuracies, in %."""
        return spread([member.accuracy for member in self.members])

    @property
    def engine_accuracy(self) -> Spread | None:
        """Spread of the engines' accuracies, in %, over the members with an engine that keeps all limits."""
        return spread([member.engine_accuracy for member in self.members if member.engine_accuracy is not None])


def spread(values: Sequence[float]) -> Spread | None:
    """Describe values; None where there is none."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(count=len(values), mean=statistics.fmean(values), deviation=deviation, least=min(values), most=max(values))


def family_of(study: Study, best: Graded | None) -> Family | None:
    """Collect the family of the best engine, or of the last finalist; None before the first."""
    finals = [taught for taught in study.teachings if taught.final]
    if not finals and best is None:
        return None
    pupil = finals[-1].pupil if best is None else best.pupil
    own = [f for f in finals if f.pupil.member.architecture == pupil.member.architecture and f.pupil.distillation == pupil.distillation]
    taught = own or [t for t in study.teachings if t.pupil == pupil and t.of_steps is None]
    probed = [p for p in study.probes if p.member.architecture == pupil.member.architecture]
    readings = _in_one_variant({p.member.index: p.outcome for p in probed if isinstance(p.outcome, Screened)})
    return Family(
        pupil=pupil,
        steps=taught[0].steps,
        probed=len(probed),
        fitting=sum(study.fits(p) for p in probed),
        failed=sum(not isinstance(t.outcome, Lesson) for t in taught),
        members=tuple(_member(study, t, t.outcome, readings) for t in taught if isinstance(t.outcome, Lesson)),
        readings=tuple(readings.values()),
        in_full=bool(own),
    )


def _in_one_variant(screened: Mapping[int, Screened]) -> dict[int, Measurement]:
    """Return the readings of members in the variant that most of them were read in: the one that comes first, as a rule."""
    read = Counter(m.variant for outcome in screened.values() for m in outcome.measurements)
    usual = max(read, key=lambda variant: read[variant], default=None)
    return {index: m for index, outcome in screened.items() for m in outcome.measurements if m.variant == usual}


def _member(study: Study, taught: Taught, lesson: Lesson, readings: Mapping[int, Measurement]) -> TaughtMember:
    kept = [
        (g.outcome.accuracy, g)
        for g in study.grades
        if g.pupil == taught.pupil and isinstance(g.outcome, Grade) and keeps(study.grade_slacks(g.outcome))
    ]
    index = taught.pupil.member.index
    engine = max(kept, key=lambda pair: pair[0])[1] if kept else None
    median_ns = readings[index].median_ns if index in readings else None
    return TaughtMember(index=index, accuracy=lesson.accuracy, median_ns=median_ns, engine=engine)


def told(family: Family) -> str:
    """Say in a sentence how the family was chosen from."""
    failed = f", {family.failed} of them in vain" if family.failed else ""
    return (
        f"{family.probed} member{'s' if family.probed > 1 else ''} probed, {family.fitting} keep the device limits, "
        f"{len(family.members) + family.failed} taught {'in full' if family.in_full else 'by the search alone'} "
        f"for {family.steps:,} steps{failed}; "
        f"latencies {wording.origins(family.readings)}"
    )


def rows(family: Family) -> list[tuple[str, ...]]:
    """Write the cells of each member under ``COLUMNS``, and of their mean and spread where there are several."""
    lines: list[tuple[str, ...]] = [
        (
            str(member.index),
            wording.percent(member.accuracy),
            ABSENT if member.engine is None else str(member.engine.variant),
            ABSENT if member.engine_accuracy is None else wording.percent(member.engine_accuracy),
            ABSENT if member.median_ns is None else wording.latency(member.median_ns),
        )
        for member in family.members
    ]
    if len(family.members) < 2:
        return lines
    latency = family.latency_ns
    timed = ABSENT if latency is None else f"{wording.latency(latency.least)} to {wording.latency(latency.most)}, all probed"
    return [*lines, ("mean and standard deviation", _points(family.accuracy), "", _points(family.engine_accuracy), timed)]


def summary(family: Family | None) -> Json:
    """Write the family as JSON; None where there is none."""
    if family is None:
        return None
    return {
        "architecture": dict(family.pupil.member.architecture),
        "distillation": dict(family.pupil.distillation),
        "steps": family.steps,
        "taught_in_full": family.in_full,
        "probed": family.probed,
        "fitting": family.fitting,
        "failed": family.failed,
        "accuracy_validation_percent": _spread(family.accuracy),
        "engine_accuracy_validation_percent": _spread(family.engine_accuracy),
        "untrained_median_ns": _spread(family.latency_ns),
        "members": [
            {
                "index": member.index,
                "accuracy_validation_percent": member.accuracy,
                "engine": None if member.engine is None else str(member.engine.variant),
                "engine_accuracy_validation_percent": member.engine_accuracy,
                "untrained_median_ns": member.median_ns,
            }
            for member in family.members
        ],
    }


def _points(found: Spread | None) -> str:
    if found is None:
        return ABSENT
    deviation = "" if found.deviation is None else f" \N{PLUS-MINUS SIGN} {found.deviation:.2f} points"
    return f"{wording.percent(found.mean)}{deviation} ({wording.percent(found.least)} to {wording.percent(found.most)})"


def _spread(found: Spread | None) -> Json:
    if found is None:
        return None
    values = {"mean": found.mean, "standard_deviation": found.deviation, "min": found.least, "max": found.most}
    return {"count": found.count, **values}
