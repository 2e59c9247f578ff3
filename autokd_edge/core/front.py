"""A front: what nothing else beats in accuracy and in all costs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from autokd_edge.core.events import Graded
from autokd_edge.core.goal import Goal
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Grade
from autokd_edge.core.study import Study, keeps

# Points of validation accuracy within which the cheaper of two is the better one: with 10,000 images the
# standard error of an accuracy of 93 % is 0.25 points, so 0.1 is well inside what can be told apart.
EQUAL_POINTS = 0.1
_MEDIAN = 50.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Generic[T]):
    """Something with an accuracy in % and its costs, in the order of the goal's ``pareto``: ns, bytes."""

    what: T
    accuracy: float
    costs: tuple[float, ...]

    def beats(self, other: Candidate[T]) -> bool:
        """Say whether the other is not worth having beside this one: no cost is lower, nor is it more accurate by what can be told."""
        if any(own > others for own, others in zip(self.costs, other.costs, strict=True)):
            return False
        return self.accuracy >= other.accuracy - (EQUAL_POINTS if self.costs != other.costs else 0.0)


def costs_of(goal: Goal, measurement: Measurement) -> tuple[float, ...]:
    """Return what accuracy is traded for, in the order of ``goal.pareto``.

    Latency is the upper bound of the percentile that its limit bounds, p50 without a limit, in ns; memory is the peak over the
    null engine, in bytes, 1 at least.
    """
    percent = _MEDIAN if goal.limits.latency is None else goal.limits.latency.percent
    found = {"latency": measurement.upper_bound_ns(percent) or measurement.median_ns, "memory": max(1, measurement.memory.engine_bytes)}
    return tuple(float(found[cost]) for cost in goal.pareto)


def non_dominated(candidates: Sequence[Candidate[T]]) -> tuple[Candidate[T], ...]:
    """Return the front by rising first cost.

    From the cheapest on, each is kept that none of those kept beats: what was left out beats nobody, so that a chain of
    small differences does not empty the front.
    """
    kept: list[Candidate[T]] = []
    for candidate in sorted(candidates, key=lambda one: (one.costs, -one.accuracy)):
        if not any(other.beats(candidate) for other in kept):
            kept.append(candidate)
    return tuple(kept)


def engines_of(study: Study) -> tuple[Candidate[Graded], ...]:
    """Return the graded engines that keep all limits, in order of events."""
    found = ((graded, graded.outcome) for graded in study.grades if isinstance(graded.outcome, Grade))
    return tuple(
        Candidate(what=graded, accuracy=grade.accuracy, costs=costs_of(study.goal, grade.measurement))
        for graded, grade in found
        if keeps(study.grade_slacks(grade))
    )


def front_of(study: Study) -> tuple[Graded, ...]:
    """Return the engines on the front of those that keep all limits, the fastest first; none where no front is wanted."""
    return tuple(one.what for one in non_dominated(engines_of(study))) if study.goal.pareto else ()
