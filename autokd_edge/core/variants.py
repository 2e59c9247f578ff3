"""Which variants of an untrained member are worth a reading, and which of a taught one may be shipped.

All of it follows from the study alone, so that a study that was cut off goes on with the same readings.

A candidate is read in the screening variant first, a second of work. Another variant is read where it
may change what is known: where the candidate breaks a limit in every variant read so far, by no more
than the other variant gained on those on the last five candidates. On its first five candidates a float variant
is read even where they fit, to learn how it compares: that costs another second or two each. A quantised one
costs four and more, and is read in no backend that lost to another one's float. A variant that lost by more than
30 % to one that is as precise at least (or failed) on five candidates in a row, or took more than twice its time on
two, is not read again; where that is the screening variant, and it lost to the same precision of another backend,
candidates are read in that one first. Who breaks a limit that the slower one keeps or is nearer to has won nothing:
one runtime may be faster, and another need a tenth of its memory. Where the machine lacks what a backend needs, one failure that
says so leaves out all of its variants.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Failed, Member, Screened
from autokd_edge.core.study import Study, keeps
from autokd_edge.core.target import Variant
from autokd_edge.errors import AbsentCompilerError, AbsentDeviceError

SCREENING_PRECISION = "fp32"  # every backend has it, and it needs no calibration
LOST_BY = 0.30  # slower than the candidate's fastest reading by more than this share: a loss
LOST_FAR_BY = 1.0  # a loss that says more: one such reading may be another program's doing, two in a row are not
FAR_IN_A_ROW = 2
IN_A_ROW = 5  # losses after which a variant is not read again; and candidates that are read to learn how it compares
# Times that a variant may gain, before it was seen: of OpenVINO bf16 gained 1.4 to 1.8 and INT8 1.3 to 2.7; tvm's fp32 gained 1.1 to 3.9
# on OpenVINO's, and its INT8 up to 3.6 on its fp32 (AVX-512 VNNI, BF16; 12 random students of nago).
FIRST_REACH = 4.0
# What an engine computes: of two that are told apart by nothing else, the more precise one is the more accurate one.
_PRECISION_BITS = {"fp32": 24, "fp16": 11, "bf16": 8, "int8": 7}
_QUANTIZED = "int8"
_MEMORY = "memory"
_ABSENCES = frozenset({AbsentDeviceError.__name__, AbsentCompilerError.__name__})


# How a variant did on one candidate beside others: "lost" is by more than 30 %, "far" by more than twice the time.
Loss: TypeAlias = Literal["none", "lost", "far", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a variant did on the candidates that were read in it, in order of events; ``read`` of them were.

    ``ratios`` are medians over those of the variant that the first candidate was read in first, where both were read.
    ``losses`` says of each candidate that has a rival of it how it did. ``absent`` is what was said where the machine
    lacks what its backend needs.
    """

    variant: Variant
    read: int
    ratios: tuple[float, ...]
    losses: tuple[Loss, ...]
    absent: str = ""

    @property
    def skipped(self) -> bool:
        """Say whether the variant is not read any more."""
        return bool(self.absent or self.why_skipped)

    @property
    def failed(self) -> int:
        """Return on how many candidates it gave no reading."""
        return self.losses.count("failed")

    @property
    def why_skipped(self) -> str:
        """Say what it lost by; empty where it is read on."""
        return _why_beaten(self.losses)

    @property
    def median_ratio(self) -> float | None:
        """Return the usual ratio; None where the variant was never read."""
        return statistics.median(self.ratios) if self.ratios else None


def in_cheap_order(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Sort variants by what a reading costs: the screening variant, other float ones, then those that need quantising."""
    return tuple(sorted(variants, key=lambda v: (v.precision == _QUANTIZED, v.precision != "fp32")))


def first_variant(study: Study, screen: Variant, variants: Sequence[Variant]) -> Variant:
    """Return the variant that an untrained member is read in first.

    It is the screening variant, or the same precision of another backend to which it lost on the last candidates that were
    read in both, as a variant does that is not read again.
    """
    lead = screen
    for rival in (variant for variant in variants if variant.precision == screen.precision and variant != screen):
        if _why_gave_way(study, lead, rival):
            lead = rival
    return lead


def next_variant(study: Study, variants: Sequence[Variant], screened: Screened) -> Variant | None:
    """Return the variant that an untrained member is to be read in next; None where no other can decide anything."""
    tried = {m.variant for m in screened.measurements} | {unread.variant for unread in screened.unread}
    absent = {unread.variant.backend for unread in screened.unread if _is_absence(unread.failure)}
    left = (v for v in in_cheap_order(variants) if v not in tried and v.backend not in absent)
    return next((v for v in left if _worth(study, v, screened) and not _is_outdone(study, v, screened, variants)), None)


def absences(study: Study) -> Mapping[str, tuple[Variant, str]]:
    """Return backend -> the variant whose build first said that the machine lacks what the backend needs, and what it said."""
    failures = [(unread.variant, unread.failure) for screened in _screened(study) for unread in screened.unread]
    failures += [(read.variant, read.outcome) for read in study.confirmations if isinstance(read.outcome, Failed)]
    failures += [(graded.variant, graded.outcome) for graded in study.grades if isinstance(graded.outcome, Failed)]
    found: dict[str, tuple[Variant, str]] = {}
    for variant, failure in failures:
        if _is_absence(failure):
            found.setdefault(variant.backend, (variant, failure.message))
    return found


def comparison(study: Study, variant: Variant) -> Comparison:
    """Compare a variant with the others on every candidate so far."""
    ratios, losses, read = list[float](), list[Loss](), 0
    base: Variant | None = None
    for screened in _screened(study):
        base = base or screened.measurements[0].variant
        reading, first = screened.reading(variant), screened.reading(base)
        if reading is None:
            if any(unread.variant == variant for unread in screened.unread):
                losses.append("failed")
            continue
        read += 1
        if first is not None:
            ratios.append(reading.slowness / first.slowness)
        rivals = _rivals(screened, variant)
        if rivals:
            losses.append(_loss(study, reading, rivals))
    _, absent = absences(study).get(variant.backend, (variant, ""))
    return Comparison(variant=variant, read=read, ratios=tuple(ratios), losses=tuple(losses), absent=absent)


def may_win(study: Study, member: Member, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Return the variants in which a taught member may become the engine to ship, by its readings before teaching.

    Left out are those that the search gave up, those that broke a limit by more than 30 %, and those that
    lost by more than 30 % to one that is as precise at least. Of one that was not read the other precisions of its
    backend speak: where they lost by as much to a backend that has it too, it is left out. If nothing is left, the
    fastest reading's is.
    """
    screened = next((p.outcome for p in study.probes if p.member == member and isinstance(p.outcome, Screened)), None)
    if screened is None:
        absent = absences(study)
        return tuple(variant for variant in variants if variant.backend not in absent)
    found = tuple(v for v in variants if _may_win(study, v, screened, variants))
    return found or (study.best(screened).variant,)


def _may_win(study: Study, variant: Variant, screened: Screened, variants: Sequence[Variant]) -> bool:
    reading = screened.reading(variant)
    if reading is None:
        return not comparison(study, variant).skipped and not _is_outdone(study, variant, screened, variants)
    return not _loses(study, reading, _rivals(screened, variant)) and all(slack.excess <= LOST_BY for slack in study.slacks(reading))


def _worth(study: Study, variant: Variant, screened: Screened) -> bool:
    known, best = comparison(study, variant), study.slacks(study.best(screened))
    learning = len(known.losses) < IN_A_ROW
    if known.skipped or (keeps(best) and not (learning and variant.precision != _QUANTIZED)):
        return False
    read = {m.variant for m in screened.measurements}
    if learning:
        reach = {**_gains_of_likes(study, variant, read), _MEMORY: _first_reach_of_memory(study, variant, screened)}
    else:
        reach = _gains(study, variant, read)
    return all(1 + slack.excess <= reach.get(slack.limit, FIRST_REACH) for slack in best if slack.excess > 0)


def _gains(study: Study, variant: Variant, known: AbstractSet[Variant]) -> dict[str, float]:
    """Return limit -> the most that a variant gained on the best of the ``known`` ones, on the last five candidates read in it."""
    gains: dict[str, float] = {}
    for screened in [one for one in _screened(study) if one.reading(variant) is not None][-IN_A_ROW:]:
        of = {m.variant: study.slacks(m) for m in screened.measurements}
        others = [slacks for other, slacks in of.items() if other in known]
        for i, slack in enumerate(of[variant] if others else ()):
            gain = min(slacks[i].reading for slacks in others) / max(slack.reading, 1.0)
            gains[slack.limit] = max(gains.get(slack.limit, 0.0), gain)
    return gains


def _gains_of_likes(study: Study, variant: Variant, known: AbstractSet[Variant]) -> dict[str, float]:
    """Return what the same precision of another backend gains, where that was learnt: no more is expected of what was not seen."""
    seen = dict.fromkeys(m.variant for screened in _screened(study) for m in screened.measurements)
    likes = [other for other in seen if other.precision == variant.precision and other != variant and other not in known]
    learnt = next((other for other in likes if len(comparison(study, other).losses) >= IN_A_ROW), None)
    return {} if learnt is None else _gains(study, learnt, known)


def _first_reach_of_memory(study: Study, variant: Variant, screened: Screened) -> float:
    """Return what may be gained of the best reading's memory: so many times that of the own backend, and anything where it was not read.

    What one runtime needs says nothing of another: where OpenVINO's engines took 1 to 5 MB over its null engine, tvm's took 0.1 to 0.6.
    """
    own = [m.memory.engine_bytes for m in screened.measurements if m.variant.backend == variant.backend]
    return FIRST_REACH * study.best(screened).memory.engine_bytes / max(1, min(own)) if own else math.inf


def _rivals(screened: Screened, variant: Variant) -> list[Measurement]:
    """Return the readings that a variant is compared with: a more precise one loses nothing to a less precise one that is faster."""
    return [m for m in screened.measurements if m.variant != variant and _bits(m.variant) >= _bits(variant)]


def _bits(variant: Variant) -> int:
    return _PRECISION_BITS[variant.precision]


def _is_absence(failure: Failed) -> bool:
    return failure.error in _ABSENCES


def _why_gave_way(study: Study, own: Variant, other: Variant) -> str:
    """Say by what one variant lost to another on the last candidates that were read in both; empty where it did not."""
    both = [(one.reading(own), one.reading(other)) for one in _screened(study)]
    return _why_beaten([_loss(study, mine, [theirs]) for mine, theirs in both if mine is not None and theirs is not None])


def _why_beaten(losses: Sequence[Loss]) -> str:
    """Say by what losses in a row a variant is not read again; empty where it is read on."""
    if len(losses) >= IN_A_ROW and "none" not in losses[-IN_A_ROW:]:
        return f"lost by more than {LOST_BY:.0%} on {IN_A_ROW} candidates in a row"
    if len(losses) >= FAR_IN_A_ROW and set(losses[-FAR_IN_A_ROW:]) == {"far"}:
        return f"took more than {1 + LOST_FAR_BY:g} times as long on {FAR_IN_A_ROW} candidates in a row"
    return ""


def _loss(study: Study, reading: Measurement, rivals: Sequence[Measurement]) -> Loss:
    won = [rival for rival in rivals if not _is_nearer_to_a_limit(study, reading, rival)]
    times = max((reading.slowness / max(rival.slowness, 1.0) for rival in won), default=0.0)
    return "far" if times > 1 + LOST_FAR_BY else "lost" if times > 1 + LOST_BY else "none"


def _is_outdone(study: Study, variant: Variant, screened: Screened, variants: Sequence[Variant]) -> bool:
    """Say whether another backend has the same precision and won where both were read in another one, here or as a rule."""
    failed = {unread.variant for unread in screened.unread}
    going = [v for v in variants if v not in failed and not comparison(study, v).skipped]
    rivals = {v.backend for v in going if v.precision == variant.precision} - {variant.backend}
    for own in (v for v in variants if v.backend == variant.backend and v != variant):
        for other in (v for v in going if v.backend in rivals and v.precision == own.precision):
            mine, theirs = screened.reading(own), screened.reading(other)
            lost_here = mine is not None and theirs is not None and _loses(study, mine, [theirs])
            if lost_here or _why_gave_way(study, own, other):
                return True
    return False


def _loses(study: Study, reading: Measurement, rivals: Sequence[Measurement]) -> bool:
    return _loss(study, reading, rivals) != "none"


def _is_nearer_to_a_limit(study: Study, reading: Measurement, rival: Measurement) -> bool:
    """Say whether a rival breaks a limit that a reading keeps, or is nearer to by more than 30 %."""
    pairs = zip(study.slacks(reading), study.slacks(rival), strict=True)
    return any(theirs.excess > 0 and (mine.excess <= 0 or theirs.reading > (1 + LOST_BY) * mine.reading) for mine, theirs in pairs)


def _screened(study: Study) -> Iterator[Screened]:
    return (probed.outcome for probed in study.probes if isinstance(probed.outcome, Screened))
