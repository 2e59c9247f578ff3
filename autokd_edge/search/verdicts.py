"""What a study came to: the engine to ship, or the closest candidate and the limit that binds."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.events import Graded
from autokd_edge.core.front import EQUAL_POINTS, front_of
from autokd_edge.core.limits import Slack
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Grade, Member
from autokd_edge.core.study import Study, keeps
from autokd_edge.core.target import Variant
from autokd_edge.search.history import readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Closest:
    """The candidate with the smallest worst violation; ``variant`` is None where it was only probed."""

    member: Member
    variant: Variant | None
    binding: Slack
    is_taught: bool = False

    def __str__(self) -> str:
        where = f" as {self.variant}" if self.variant is not None else ""
        return f"the closest candidate{where}{'' if self.is_taught else ' untrained'} has {said(self.binding)}"


def best_grade(study: Study) -> Graded | None:
    """Return the best engine: the most accurate that keeps all limits (of a front, that is on it), the faster one of equals."""
    among = front_of(study) if study.goal.pareto else study.grades
    kept = [(g.outcome, g) for g in among if isinstance(g.outcome, Grade) and keeps(study.grade_slacks(g.outcome))]
    if not kept:
        return None
    top = max(grade.accuracy for grade, _ in kept)
    equals = [pair for pair in kept if pair[0].accuracy >= top - EQUAL_POINTS]
    return min(equals, key=lambda pair: (pair[0].measurement.slowness, -pair[0].accuracy))[1]


def to_ship(study: Study) -> tuple[Graded, ...]:
    """Return the engines to ship: the best one, or where a front is wanted those on it, the fastest first."""
    best = best_grade(study)
    return front_of(study) if study.goal.pareto else () if best is None else (best,)


def closest(study: Study) -> Closest | None:
    """Return the graded engine, or the finalist refused by the final protocol, that misses the limits by least.

    Of probed members where there is neither. A point of accuracy weighs as much as 1 % of a device limit. None
    where nothing was measured or where there is no limit.
    """
    graded = [(g, study.grade_slacks(g.outcome)) for g in study.grades if isinstance(g.outcome, Grade)]
    found = [Closest(member=g.pupil.member, variant=g.variant, binding=max(s, key=_violation), is_taught=True) for g, s in graded if s]
    read = [(c, study.slacks(c.outcome)) for c in study.confirmations if isinstance(c.outcome, Measurement)]
    found += [Closest(member=c.member, variant=c.variant, binding=max(s, key=_violation)) for c, s in read if not keeps(s)]
    if not found:
        found = [Closest(member=r.member, variant=None, binding=max(r.slacks, key=_violation)) for r in readings(study) if r.slacks]
    return min(found, key=lambda c: _violation(c.binding), default=None)


def said(slack: Slack) -> str:
    """Say a reading, its bound and the distance, in the units that users type."""
    if slack.limit == "accuracy":
        return f"an accuracy drop of {slack.reading:.2f} points (limit {slack.bound:.2f}, {slack.excess:+.2f})"
    if slack.limit == "instructions":
        return f"{slack.reading:,.0f} instructions (limit {slack.bound:,.0f}, {slack.excess:+.1%})"
    scale, unit = 1e6, "ms" if slack.limit == "latency" else "MB"  # from ns and from bytes
    distance = f"{slack.excess:+.1%}" if slack.excess <= 1 else f"{1 + slack.excess:.3g} times the limit"
    return f"{slack.limit} {slack.reading / scale:.4g} {unit} (limit {slack.bound / scale:.4g} {unit}, {distance})"


def _violation(slack: Slack) -> float:
    return slack.excess / 100 if slack.limit == "accuracy" else slack.excess
