"""Which variants of an untrained member are worth a reading, and which of a taught one may be shipped.

All of it follows from the study alone, so that a study that was cut off goes on with the same readings.

A candidate is read in the screening variant first, a second of work. Another variant is read where it
may change what is known: where the candidate breaks a limit in every variant read so far, by no more
than the other variant gained on the last five candidates. On its first five candidates a float variant
is read even where they fit, to learn how it compares: that costs another second each. A quantised one
costs four. A variant that lost by more than 30 % (or failed) on five candidates in a row is not read
again. Where the machine lacks the device of a backend, one failure that says so leaves out all of its variants.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Failed, Member, Screened
from autokd_edge.core.study import Study, keeps
from autokd_edge.core.target import Variant
from autokd_edge.errors import AbsentDeviceError

LOST_BY = 0.30  # slower than the candidate's fastest reading by more than this share: a loss
IN_A_ROW = 5  # losses after which a variant is not read again; and candidates that are read to learn how it compares
FIRST_REACH = 2.5  # times that a variant may gain, before it was seen: bf16 gained 1.4 to 1.8, INT8 1.3 to 2.7 (AVX-512 VNNI, BF16)
# What an engine computes: of two that are told apart by nothing else, the more precise one is the more accurate one.
_PRECISION_BITS = {"fp32": 24, "fp16": 11, "bf16": 8, "int8": 7}
_QUANTIZED = "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a variant did on the candidates that were read in it and in the screening variant, in order of events.

    ``ratios`` are medians over the screening variant's; ``lost`` says of each candidate that was tried
    whether the variant lost to another one there by more than 30 %, or failed. ``absent`` is what was said where the
    machine lacks the device of its backend.
    """

    variant: Variant
    ratios: tuple[float, ...]
    lost: tuple[bool, ...]
    absent: str = ""

    @property
    def skipped(self) -> bool:
        """Say whether the variant is not read any more."""
        return bool(self.absent) or (len(self.lost) >= IN_A_ROW and all(self.lost[-IN_A_ROW:]))

    @property
    def median_ratio(self) -> float | None:
        """Return the usual ratio; None where the variant was never read."""
        return statistics.median(self.ratios) if self.ratios else None


def in_cheap_order(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Sort variants by what a reading costs: the screening variant, other float ones, then those that need quantising."""
    return tuple(sorted(variants, key=lambda v: (v.precision == _QUANTIZED, v.precision != "fp32")))


def next_variant(study: Study, variants: Sequence[Variant], screened: Screened) -> Variant | None:
    """Return the variant that an untrained member is to be read in next; None where no other can decide anything."""
    tried = {m.variant for m in screened.measurements} | {unread.variant for unread in screened.unread}
    absent = {unread.variant.backend for unread in screened.unread if _is_absence(unread.failure)}
    left = (v for v in in_cheap_order(variants) if v not in tried and v.backend not in absent)
    return next((v for v in left if _worth(study, v, screened)), None)


def absences(study: Study) -> Mapping[str, tuple[Variant, str]]:
    """Return backend -> the variant whose build first said that the machine lacks the backend's device, and what it said."""
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
    ratios, lost = [], []
    for screened in _screened(study):
        reading = screened.reading(variant)
        if reading is None:
            if any(unread.variant == variant for unread in screened.unread):
                lost.append(True)
            continue
        ratios.append(reading.slowness / screened.measurements[0].slowness)
        lost.append(_loses(reading, screened.measurements))
    _, absent = absences(study).get(variant.backend, (variant, ""))
    return Comparison(variant=variant, ratios=tuple(ratios), lost=tuple(lost), absent=absent)


def may_win(study: Study, member: Member, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Return the variants in which a taught member may become the engine to ship, by its readings before teaching.

    Left out are those that the search gave up, those that broke a limit by more than 30 %, and those that
    lost by more than 30 % to one that is as precise at least. If nothing is left, the fastest reading's is.
    """
    screened = next((p.outcome for p in study.probes if p.member == member and isinstance(p.outcome, Screened)), None)
    if screened is None:
        absent = absences(study)
        return tuple(variant for variant in variants if variant.backend not in absent)
    found = tuple(v for v in variants if _may_win(study, v, screened))
    return found or (study.best(screened).variant,)


def _may_win(study: Study, variant: Variant, screened: Screened) -> bool:
    reading = screened.reading(variant)
    if reading is None:
        return not comparison(study, variant).skipped
    rivals = [m for m in screened.measurements if _PRECISION_BITS[m.variant.precision] >= _PRECISION_BITS[variant.precision]]
    return not _loses(reading, rivals) and all(slack.excess <= LOST_BY for slack in study.slacks(reading))


def _worth(study: Study, variant: Variant, screened: Screened) -> bool:
    known, best = comparison(study, variant), study.slacks(study.best(screened))
    learning = len(known.lost) < IN_A_ROW
    if known.skipped or (keeps(best) and not (learning and variant.precision != _QUANTIZED)):
        return False
    reach = {} if learning else _gains(study, variant)
    return all(1 + slack.excess <= reach.get(slack.limit, FIRST_REACH) for slack in best if slack.excess > 0)


def _gains(study: Study, variant: Variant) -> dict[str, float]:
    """Return limit -> the most that a variant gained on the best of those read before it, on the last five candidates read in it."""
    gains: dict[str, float] = {}
    for screened in [one for one in _screened(study) if one.reading(variant) is not None][-IN_A_ROW:]:
        place = [m.variant for m in screened.measurements].index(variant)
        *before, own = (study.slacks(m) for m in screened.measurements[: place + 1])
        for i, slack in enumerate(own):
            gain = min(slacks[i].reading for slacks in before) / max(slack.reading, 1.0)
            gains[slack.limit] = max(gains.get(slack.limit, 0.0), gain)
    return gains


def _is_absence(failure: Failed) -> bool:
    return failure.error == AbsentDeviceError.__name__


def _loses(reading: Measurement, rivals: Sequence[Measurement]) -> bool:
    return any(reading.slowness > (1 + LOST_BY) * rival.slowness for rival in rivals)


def _screened(study: Study) -> Iterator[Screened]:
    return (probed.outcome for probed in study.probes if isinstance(probed.outcome, Screened))
