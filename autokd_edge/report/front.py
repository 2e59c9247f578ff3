"""The front of a study that searched for one: every engine with its accuracy and costs, and which of them beat which."""

from __future__ import annotations

from autokd_edge.core.codec import Json
from autokd_edge.core.events import Graded
from autokd_edge.core.front import Candidate, costs_of, engines_of, non_dominated
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Grade
from autokd_edge.core.study import keeps
from autokd_edge.report import wording
from autokd_edge.report.comparison import ABSENT
from autokd_edge.report.outcome import AccuracyFact, OnFront, Outcome, broken, cost_of, engine_name, grades, lessons, reading_of

NOTE = (
    "An engine is on the front where no other is as fast (and as small, where memory counts) and as accurate; accuracies within 0.1 "
    "points count as equal. What it goes by is the upper bound of the latency and the accuracy on the validation set; the test set was "
    "read once, for the bundles."
)


def told(outcome: Outcome) -> str:
    """Say in a line what the front came to; empty where no engine is on it."""
    found = sorted(_costed(outcome), key=lambda one: one.accuracy)
    if not found:
        return ""
    ends = [f"{wording.percent(one.accuracy)} in {wording.latency(one.costs[0])}" for one in (found[0], found[-1])]
    many = (
        f"{len(found)} engines keep all limits, from {ends[0]} to {ends[1]}" if len(found) > 1 else f"1 engine keeps all limits, {ends[0]}"
    )
    return f"front of accuracy against {' and '.join(outcome.study.goal.pareto)}: {many}"


def columns(outcome: Outcome) -> tuple[str, ...]:
    """Return the heads of ``rows``; what the front goes by is the upper bound of the latency."""
    return ("Engine", "Validation", "Test", "Median", f"p{outcome.percentile:g} bound", "Memory", "Parameters", "On the front")


def rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """Write the cells of the teacher and of every engine, the fastest first; where none is graded yet, of the students so far."""
    goal = outcome.study.goal
    found = sorted(grades(outcome.study), key=lambda pair: costs_of(goal, pair[1].measurement))
    lines = [_engine(outcome, graded, grade) for graded, grade in found] or _students(outcome)
    reading, reference = outcome.teacher_reading, outcome.study.reference
    if reading is None or reference is None:
        return lines
    accuracy = ABSENT if reference.accuracy is None else wording.percent(reference.accuracy)
    parameters = ABSENT if reference.cost is None else f"{reference.cost.parameters:,}"
    teacher = ("teacher", accuracy, _percent(outcome.accuracy("teacher", "test")), *_costs(outcome, reading), parameters, ABSENT)
    return [teacher, *lines]


def summary(outcome: Outcome) -> list[Json]:
    """Write the engines on the front, the fastest first; none where no front was wanted."""
    return [
        {
            "bundle": one.bundle or None,
            "variant": str(one.graded.variant),
            "accuracy_validation_percent": candidate.accuracy,
            "accuracy_test_percent": None if (test := _test(one)) is None else test.percent,
            "latency_upper_bound_ns": candidate.costs[0],
            "median_ns": grade.measurement.median_ns,
            "peak_memory_over_null_bytes": grade.measurement.memory.engine_bytes,
            "engine_sha256": grade.engine,
        }
        for one, candidate in zip(outcome.front, _costed(outcome), strict=True)
        if isinstance(grade := one.graded.outcome, Grade)
    ]


def _costed(outcome: Outcome) -> tuple[Candidate[Graded], ...]:
    """Return what is on the front with its costs, in the same order."""
    kept = engines_of(outcome.study)
    return tuple(next(one for one in kept if one.what == shown.graded) for shown in outcome.front)


def _engine(outcome: Outcome, graded: Graded, grade: Grade) -> tuple[str, ...]:
    cost = cost_of(outcome.study, graded.pupil.member)
    place = next((one for one in outcome.front if one.graded == graded), None)
    return (
        engine_name(outcome.study, graded),
        wording.percent(grade.accuracy),
        ABSENT if place is None else _percent(_test(place)),
        *_costs(outcome, grade.measurement),
        ABSENT if cost is None else f"{cost.parameters:,}",
        (place.bundle or "yes") if place is not None else _why_not(outcome, graded, grade),
    )


def _why_not(outcome: Outcome, graded: Graded, grade: Grade) -> str:
    """Say which limits an engine breaks, or which engine on the front beats it."""
    slacks = outcome.study.grade_slacks(grade)
    if not keeps(slacks):
        return f"breaks {' and '.join(broken(slacks))}"
    own = Candidate(what=graded, accuracy=grade.accuracy, costs=costs_of(outcome.study.goal, grade.measurement))
    better = [shown for shown, one in zip(outcome.front, _costed(outcome), strict=True) if one.beats(own)]
    return f"beaten by {better[-1].bundle or engine_name(outcome.study, better[-1].graded)}"


def _students(outcome: Outcome) -> list[tuple[str, ...]]:
    """Write the students on the front of what was taught: float accuracies, readings of untrained engines."""
    study, found = outcome.study, []
    fitting = {probed.member for probed in study.probes if study.fits(probed)}
    for taught, lesson in lessons(study):
        reading = reading_of(study, taught.pupil.member)
        if reading is not None and taught.pupil.member in fitting:
            found.append(Candidate(what=(taught, reading), accuracy=lesson.accuracy, costs=costs_of(study.goal, reading)))
    return [
        (
            f"not graded; taught for {taught.steps:,} steps",
            f"{wording.percent(one.accuracy)}, float",
            ABSENT,
            *_costs(outcome, reading),
            ABSENT if (cost := cost_of(study, taught.pupil.member)) is None else f"{cost.parameters:,}",
            "so far",
        )
        for one in non_dominated(found)
        for taught, reading in (one.what,)
    ]


def _costs(outcome: Outcome, m: Measurement) -> tuple[str, str, str]:
    return wording.latency(m.median_ns), wording.latency(m.upper_bound_ns(outcome.percentile)), wording.size(m.memory.engine_bytes)


def _test(one: OnFront) -> AccuracyFact | None:
    return next((fact for fact in one.accuracies if (fact.what, fact.split) == ("student engine", "test")), None)


def _percent(fact: AccuracyFact | None) -> str:
    return ABSENT if fact is None else wording.percent(fact.percent)
