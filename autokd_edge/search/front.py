"""The front of a study's pupils, and the reference point that its hypervolume is counted from.

The point follows Ishibuchi et al. (2011), as BoTorch's ``infer_reference_point`` does: a tenth of the front's range beyond
the worst that counts, so that the ends of the front count too. Worst is for a cost the limit; without a limit the
teacher's reading; without either the costliest pupil of the front. For accuracy it is the least accurate pupil of the
front. Who has less than half of the best accuracy does not count: else a network that is fast because it does nothing would
stretch the front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autokd_edge.core.front import Candidate, costs_of, non_dominated
from autokd_edge.core.goal import Traded
from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.study import Study
from autokd_edge.search.compression import compressed
from autokd_edge.search.encode import Rows
from autokd_edge.search.history import readings, suitable
from autokd_edge.search.hypervolume import spread

BEYOND = 0.1  # share of the front's range (Ishibuchi et al. find it robust)
_LEAST_SHARE = 0.5  # of the best accuracy, below which nothing counts
_LEAST_RANGE = 1.0  # of accuracies in robust deviations: a front of one pupil has no range
_LEAST_COST_RANGE = 0.1  # of log costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What must be beaten to count: a compressed accuracy, and log costs ``(k,)``."""

    floor: float
    worst: Rows


def pupils_of(study: Study) -> tuple[Candidate[Pupil], ...]:
    """Return the taught pupils whose member keeps all device limits, with the costs of their member, untrained."""
    costs = member_costs(study)
    return tuple(Candidate(what=pupil, accuracy=accuracy, costs=costs[pupil.member]) for pupil, accuracy in suitable(study))


def member_costs(study: Study) -> Mapping[Member, tuple[float, ...]]:
    """Return the costs of every member that was measured, by its best variant."""
    return {reading.member: costs_of(study.goal, reading.measurement) for reading in readings(study)}


def log_costs(candidates: tuple[Candidate[Pupil], ...]) -> Rows:
    """Return log costs ``(n, k)``."""
    return np.log([candidate.costs for candidate in candidates])


def reference_of(study: Study, front: tuple[Candidate[Pupil], ...], accuracies: Rows) -> Reference:
    """Return the reference point for the front of at least one pupil; ``accuracies`` are those that compression goes by."""
    top = max(candidate.accuracy for candidate in front)
    counted = tuple(candidate for candidate in front if candidate.accuracy >= _LEAST_SHARE * top)
    least, best = compressed(np.array([min(candidate.accuracy for candidate in counted), top]), among=accuracies)
    costs = log_costs(counted)
    worst = np.array([_worst(study, cost, costs[:, i]) for i, cost in enumerate(study.goal.pareto)])
    widths = np.maximum(worst - costs.min(axis=0), _LEAST_COST_RANGE)
    return Reference(floor=float(least - BEYOND * max(best - least, _LEAST_RANGE)), worst=worst + BEYOND * widths)


def in_order(study: Study) -> tuple[Pupil, ...]:
    """Return the pupils on the front, in the order in which each adds most hypervolume to those before it."""
    candidates = pupils_of(study)
    front = non_dominated(candidates)
    if not front:
        return ()
    accuracies = np.array([candidate.accuracy for candidate in candidates])
    reference = reference_of(study, front, accuracies)
    values = compressed(np.array([candidate.accuracy for candidate in front]), among=accuracies)
    return tuple(front[i].what for i in spread(values, log_costs(front), floor=reference.floor, worst=reference.worst))


def _worst(study: Study, cost: Traded, of_front: Rows) -> float:
    """Return the log cost that still counts."""
    known = readings(study)[0].slacks
    limit = next((slack.bound for slack in known if slack.limit == cost), None)
    if limit is not None:
        return math.log(limit)
    reference = study.reference
    if reference is None or not reference.measurements:
        return float(of_front.max())
    teacher = costs_of(study.goal, reference.measurements[0])[study.goal.pareto.index(cost)]
    return max(math.log(teacher), float(of_front.min()))
