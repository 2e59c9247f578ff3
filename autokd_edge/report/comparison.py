"""Teacher beside student, line by line: the same lines for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from autokd_edge.core.limits import Slack
from autokd_edge.core.measure import CONFIDENCE, Measurement
from autokd_edge.core.pupil import Cost
from autokd_edge.report import wording
from autokd_edge.report.outcome import Outcome

ABSENT = "\N{EM DASH}"
T = TypeVar("T")
Pair: TypeAlias = tuple[T | None, T | None]  # the teacher's and the student's


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One quantity: the teacher's, the student's, and how they compare."""

    quantity: str
    teacher: str
    student: str
    compared: str = ""


def compare(outcome: Outcome) -> tuple[Line, ...]:
    """Write the lines; what is not known is a dash."""
    return (*_accuracy_lines(outcome), *_cost_lines(outcome), *_reading_lines(outcome))


def _accuracy_lines(outcome: Outcome) -> tuple[Line, ...]:
    reference, grade = outcome.study.reference, outcome.grade
    validation = Line(
        quantity="Accuracy, validation",
        teacher=ABSENT if reference is None or reference.accuracy is None else wording.percent(reference.accuracy),
        student=ABSENT if grade is None else wording.percent(grade.accuracy),
        compared=""
        if reference is None or reference.accuracy is None or grade is None
        else wording.points(grade.accuracy - reference.accuracy),
    )
    teacher, engine = outcome.accuracy("teacher", "test"), outcome.accuracy("student engine", "test")
    test = Line(
        quantity="Accuracy, test",
        teacher=ABSENT if teacher is None else wording.percent(teacher.percent),
        student=ABSENT if engine is None else wording.percent(engine.percent),
        compared="" if teacher is None or engine is None else wording.points(engine.percent - teacher.percent),
    )
    by = Line(
        quantity="Accuracy computed by",
        teacher=ABSENT if teacher is None else f"{teacher.computed_by} on {teacher.machine}",
        student=ABSENT if engine is None else f"{engine.computed_by} on {engine.machine}",
    )
    return (validation, test, by) if outcome.accuracies else (validation, test)


def _cost_lines(outcome: Outcome) -> tuple[Line, ...]:
    teacher = None if outcome.study.reference is None else outcome.study.reference.cost
    student = outcome.student_cost
    return (
        _counted("Parameters", (teacher, student), lambda cost: cost.parameters),
        _counted("Multiply-accumulates", (teacher, student), lambda cost: cost.macs),
        _counted("Activations, peak (bytes)", (teacher, student), lambda cost: cost.activation_bytes),
    )


def _counted(quantity: str, costs: Pair[Cost], count: Callable[[Cost], int]) -> Line:
    teacher, student = (0 if cost is None else count(cost) for cost in costs)
    return Line(
        quantity=quantity,
        teacher=f"{teacher:,}" if teacher else ABSENT,
        student=f"{student:,}" if student else ABSENT,
        compared=wording.times(teacher / student, "fewer", "more") if teacher and student else "",
    )


def _reading_lines(outcome: Outcome) -> tuple[Line, ...]:
    grade = outcome.grade
    pair = (outcome.teacher_reading, None if grade is None else grade.measurement)
    slacks = () if grade is None else outcome.study.grade_slacks(grade)
    share = outcome.percentile
    lines = [
        _read("Latency, median of blocks", pair, lambda m: wording.latency(m.median_ns), _speed(pair)),
        _read("Latency p99", pair, lambda m: wording.latency(m.percentile_ns(99.0))),
        _read(
            f"Latency p{share:g}, upper bound",
            pair,
            lambda m: wording.latency(m.upper_bound_ns(share)),
            _limit(slacks, "latency") or f"{CONFIDENCE:.0%} confidence",
        ),
        _read("Samples", pair, wording.samples),
        _read("Peak memory over a null engine", pair, lambda m: wording.size(m.memory.engine_bytes), _memory(pair, slacks)),
        *_instructions(pair, slacks),
        _read("Variant", pair, lambda m: str(m.variant)),
        _read("Precision executed", pair, wording.executed),
        _read("Device", pair, wording.device),
        _read("Runtime", pair, wording.runtime),
        _read("Protocol", pair, lambda m: m.protocol),
        _read("Reading", pair, _origin_and_flags),
    ]
    return tuple(lines)


def _read(quantity: str, pair: Pair[Measurement], say: Callable[[Measurement], str], compared: str = "") -> Line:
    teacher, student = (ABSENT if reading is None else say(reading) for reading in pair)
    return Line(quantity=quantity, teacher=teacher, student=student, compared=compared)


def _speed(pair: Pair[Measurement]) -> str:
    teacher, student = pair
    return "" if teacher is None or student is None else wording.speed(teacher, student)


def _memory(pair: Pair[Measurement], slacks: tuple[Slack, ...]) -> str:
    teacher, student = (0 if reading is None else reading.memory.engine_bytes for reading in pair)
    ratio = wording.times(teacher / student, "less", "more") if teacher and student else ""
    return ", ".join(filter(None, (ratio, _limit(slacks, "memory"))))


def _instructions(pair: Pair[Measurement], slacks: tuple[Slack, ...]) -> tuple[Line, ...]:
    """Say the counts where there are any."""
    if all(reading is None or reading.instructions is None for reading in pair):
        return ()
    teacher, student = pair
    ratio = "" if teacher is None or student is None else wording.fewer_instructions(teacher, student)
    compared = ", ".join(filter(None, (ratio, _limit(slacks, "instructions"))))
    return (_read("Instructions of one inference", pair, wording.instructions, compared),)


def _limit(slacks: tuple[Slack, ...], limit: str) -> str:
    found = next((slack for slack in slacks if slack.limit == limit), None)
    return "" if found is None else f"limit {wording.quantity(limit, found.bound)}, {'kept' if found.excess <= 0 else 'broken'}"


def _origin_and_flags(measurement: Measurement) -> str:
    return ", ".join((wording.origin(measurement), *measurement.flags))
