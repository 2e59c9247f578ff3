"""The plots of a study: accuracy against latency, the members probed, the history, and every latency sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import accumulate

import numpy as np

from autokd_edge.core.events import Graded, Probed, Taught
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Cost, Grade, Lesson, Screened
from autokd_edge.core.space import Point
from autokd_edge.report import wording
from autokd_edge.report.canvas import AMBER, BLUE, GREEN, GREY, RED, VIOLET, Canvas, Mark, Plot
from autokd_edge.report.outcome import Outcome, front, grades, lessons, reading_of, why_refused

_MS = 1e6  # ns
_MB = 1e6  # bytes
_MINUTE = 60.0  # s
_BINS = 120
TAIL = 0.005  # share of the samples, on either side, that the histogram leaves out; the page says so


def accuracy_plot(outcome: Outcome) -> Plot:
    """Accuracy against latency: taught students, graded engines, the teacher, the limits and the front."""
    share = outcome.percentile
    canvas = Canvas(_latency_title(share), "Accuracy, validation (%)")
    canvas.log_x()
    _draw_latency_limit(canvas, _bounds(outcome, _students(outcome)))
    _draw_floor(canvas, outcome)
    return _draw_students(canvas, outcome, "accuracy", lambda m: _ms(m, share))


def accuracy_by_memory_plot(outcome: Outcome) -> Plot:
    """Accuracy against peak memory: the same students and engines."""
    canvas = Canvas("Peak memory over a null engine (MB)", "Accuracy, validation (%)")
    bound = _bounds(outcome, _students(outcome)).get("memory")
    if bound is not None:
        canvas.x_limit(bound / _MB, f"memory limit {wording.size(bound)}")
    _draw_floor(canvas, outcome)
    return _draw_students(canvas, outcome, "accuracy-by-memory", lambda m: m.memory.engine_bytes / _MB)


def _draw_students(canvas: Canvas, outcome: Outcome, name: str, across: Callable[[Measurement], float]) -> Plot:
    """Draw accuracies over what ``across`` says of a reading, and the front: of all students, or of the engines where one was searched."""
    engines = grades(outcome.study)
    marks: list[Mark] = [
        (
            across(m),
            lesson.accuracy,
            _pupil_text(f"taught for {taught.steps:,} steps", lesson.accuracy, taught.pupil.member.architecture, m),
        )
        for taught, lesson, m in _taught(outcome)
    ]
    winners: list[Graded | None] = [one.graded for one in outcome.front] if outcome.front else [outcome.best]
    best = [_engine_mark(graded, grade, across) for graded, grade in engines if graded in winners]
    others = [_engine_mark(graded, grade, across) for graded, grade in engines if graded not in winners]
    canvas.steps(front((x, y) for x, y, _ in (best if outcome.front else (*marks, *others, *best))), GREEN)
    canvas.marks(marks, BLUE, "circle")
    canvas.marks(others, VIOLET, "diamond", size=12)
    canvas.marks(best, VIOLET, "star", size=19)
    canvas.key(BLUE, "circle", "taught student: float accuracy, reading of its untrained engine")
    canvas.key(VIOLET, "diamond", "engine, graded as it would be shipped")
    if best:
        canvas.key(VIOLET, "star", "engine on the front, shipped" if outcome.front else "the best engine")
    _draw_teacher(canvas, outcome, across)
    canvas.key(GREEN, "line", "front of the engines that keep all limits" if outcome.front else "Pareto front of the students")
    canvas.key(RED, "dash", "limits")
    return canvas.plot(name, [*_students(outcome), *_teacher(outcome)])


def _taught(outcome: Outcome) -> list[tuple[Taught, Lesson, Measurement]]:
    found = ((taught, lesson, reading_of(outcome.study, taught.pupil.member)) for taught, lesson in lessons(outcome.study))
    return [(taught, lesson, m) for taught, lesson, m in found if m is not None]


def _students(outcome: Outcome) -> list[Measurement]:
    """Return the readings of taught students, untrained, and of engines."""
    return [*(m for _, _, m in _taught(outcome)), *(grade.measurement for _, grade in grades(outcome.study))]


def memory_plot(outcome: Outcome) -> Plot:
    """Latency against peak memory of every member that was measured, by whether it fits."""
    canvas = Canvas(_latency_title(outcome.percentile), "Peak memory over a null engine (MB)")
    bound = _bounds(outcome, _screened(outcome)).get("memory")
    if bound is not None:
        canvas.y_limit(bound / _MB, f"memory limit {wording.size(bound)}")
    return _draw_probes(canvas, outcome, "memory", lambda _, reading: reading.memory.engine_bytes / _MB)


def parameters_plot(outcome: Outcome) -> Plot:
    """Latency against parameters of every member that was measured, by whether it fits."""
    canvas = Canvas(_latency_title(outcome.percentile), "Parameters")
    canvas.log_y()
    return _draw_probes(canvas, outcome, "parameters", lambda cost, _: float(cost.parameters))


def history_plot(outcome: Outcome) -> Plot:
    """Best accuracy so far, and how many were probed, taught and graded, over the time of work."""
    study = outcome.study
    end = study.elapsed_s / _MINUTE
    canvas = Canvas("Time of work (min)", "Accuracy, validation (%)", "Count", heights=(0.62, 0.38))
    canvas.log_y(row=2)
    found = [(taught, lesson) for taught, lesson in lessons(study)]
    times = [taught.at_s / _MINUTE for taught, _ in found]
    best = list(accumulate((lesson.accuracy for _, lesson in found), max))
    canvas.steps([*zip(times, best, strict=True), *((end, top) for top in best[-1:])], GREEN)
    texts = [
        f"{'final teaching' if t.final else 'teaching'}, {t.steps:,} steps<br>{wording.percent(lesson.accuracy)}" for t, lesson in found
    ]
    canvas.marks(zip(times, (lesson.accuracy for _, lesson in found), texts, strict=True), BLUE, "circle", size=9)
    engines = [
        (graded.at_s / _MINUTE, grade.accuracy, f"{graded.variant} engine<br>{wording.percent(grade.accuracy)}")
        for graded, grade in grades(study)
    ]
    canvas.marks(engines, VIOLET, "diamond", size=11)
    if study.reference is not None and study.reference.accuracy is not None:
        canvas.y_limit(study.reference.accuracy, "teacher", AMBER)
    canvas.key(GREEN, "line", "best float accuracy so far")
    canvas.key(BLUE, "circle", "a teaching")
    canvas.key(VIOLET, "diamond", "an engine")
    at_s = {"probed": [p.at_s for p in study.probes], "taught": [t.at_s for t in study.teachings], "graded": [g.at_s for g in study.grades]}
    for (what, ends_s), colour in zip(at_s.items(), (GREY, BLUE, VIOLET), strict=True):
        steps = [(at / _MINUTE, float(i)) for i, at in enumerate(ends_s, start=1)]
        canvas.steps([*steps, *((end, count) for _, count in steps[-1:])], colour, row=2)
        canvas.key(colour, "line", f"{what}: {len(ends_s)}")
    return canvas.plot("history", [grade.measurement for _, grade in grades(study)])


def samples_plot(outcome: Outcome) -> Plot | None:
    """Every latency sample of the teacher and of the best engine; None where one of them is missing."""
    teacher, grade = outcome.teacher_reading, outcome.grade
    if teacher is None or grade is None:
        return None
    canvas = Canvas("Latency of one inference (ms)", "Share of the runs (%)")
    canvas.log_x()
    for what, colour, m in (("teacher", AMBER, teacher), ("student", VIOLET, grade.measurement)):
        edges, shares = histogram([ns / _MS for block in m.blocks_ns for ns in block], _span((teacher, grade.measurement)))
        canvas.area(edges, shares, colour)
        p50, p99 = wording.latency(m.percentile_ns(50.0)), wording.latency(m.percentile_ns(99.0))
        canvas.key(colour, "line", f"{what}: p50 {p50}, p99 {p99}, {m.count:,} samples")
    return canvas.plot("samples", (teacher, grade.measurement))


def histogram(samples: Sequence[float], span: tuple[float, float]) -> tuple[list[float], list[float]]:
    """Return the edges, evenly spaced by ratio over ``span``, and the % of all samples between them."""
    edges = np.geomspace(*span, _BINS + 1)
    counts, _ = np.histogram(samples, edges)
    return edges.tolist(), (100 * counts / len(samples)).tolist()


def _span(readings: Iterable[Measurement]) -> tuple[float, float]:
    """Return the ms between which all but the tails of every reading lie."""
    ends = [np.quantile([ns / _MS for block in m.blocks_ns for ns in block], [TAIL, 1 - TAIL]) for m in readings]
    return 0.98 * float(min(low for low, _ in ends)), 1.02 * float(max(high for _, high in ends))


def _draw_probes(canvas: Canvas, outcome: Outcome, name: str, height: Callable[[Cost, Measurement], float]) -> Plot:
    study, share = outcome.study, outcome.percentile
    canvas.log_x()
    _draw_latency_limit(canvas, _bounds(outcome, _screened(outcome)))
    measured = [(probed, probed.outcome) for probed in study.probes if isinstance(probed.outcome, Screened)]
    by_fit: dict[bool, list[Mark]] = {True: [], False: []}
    for probed, screened in measured:
        why, reading = why_refused(study, probed), study.best(screened)
        by_fit[not why].append((_ms(reading, share), height(screened.cost, reading), _probe_text(probed, screened, reading, why)))
    canvas.marks(by_fit[False], GREY, "x", size=8)
    canvas.marks(by_fit[True], BLUE, "circle", size=9)
    canvas.key(BLUE, "circle", f"keeps the device limits: {len(by_fit[True])}")
    canvas.key(GREY, "x", f"refused: {len(by_fit[False])}")
    canvas.key(RED, "dash", "limits")
    return canvas.plot(name, _screened(outcome))


def _screened(outcome: Outcome) -> list[Measurement]:
    """Return the reading of each member's best variant."""
    return [outcome.study.best(probed.outcome) for probed in outcome.study.probes if isinstance(probed.outcome, Screened)]


def _draw_teacher(canvas: Canvas, outcome: Outcome, across: Callable[[Measurement], float]) -> None:
    reference = outcome.study.reference
    for m in _teacher(outcome):
        if reference is not None and reference.accuracy is not None:
            said = f"<b>teacher</b> {escape(outcome.study.config.teacher)}<br>{_reading_text(m)}<br>{wording.percent(reference.accuracy)}"
            canvas.marks([(across(m), reference.accuracy, said)], AMBER, "square", size=13)
            canvas.key(AMBER, "square", "teacher")


def _teacher(outcome: Outcome) -> tuple[Measurement, ...]:
    return () if outcome.teacher_reading is None else (outcome.teacher_reading,)


def _bounds(outcome: Outcome, students: Sequence[Measurement]) -> dict[str, float]:
    """Return limit -> bound as it is for the last of the readings: a relative one hangs on the protocol."""
    return {slack.limit: slack.bound for slack in outcome.study.slacks(students[-1])} if students else {}


def _draw_floor(canvas: Canvas, outcome: Outcome) -> None:
    reference, drop = outcome.study.reference, outcome.study.goal.limits.max_drop
    if reference is not None and reference.accuracy is not None and drop is not None:
        floor = reference.accuracy - drop
        canvas.y_limit(floor, f"accuracy floor {wording.percent(floor)}")


def _draw_latency_limit(canvas: Canvas, bounds: Mapping[str, float]) -> None:
    if "latency" in bounds:
        canvas.x_limit(bounds["latency"] / _MS, f"latency limit {wording.latency(bounds['latency'])}")


def _engine_mark(graded: Graded, grade: Grade, across: Callable[[Measurement], float]) -> Mark:
    text = _pupil_text(f"{graded.variant} engine", grade.accuracy, graded.pupil.member.architecture, grade.measurement)
    return across(grade.measurement), grade.accuracy, text


def _pupil_text(what: str, accuracy: float, architecture: Point, m: Measurement) -> str:
    return f"<b>{escape(what)}</b><br>{wording.percent(accuracy)}<br>{_reading_text(m)}<br>{_values(architecture)}"


def _probe_text(probed: Probed, screened: Screened, reading: Measurement, why: tuple[str, ...]) -> str:
    verdict = f"refused: {' and '.join(why)} above the limit" if why else "keeps the device limits"
    cost = f"{wording.large(screened.cost.parameters)} parameters, {wording.large(screened.cost.macs)} MACs"
    return f"<b>{escape(verdict)}</b><br>{_reading_text(reading)}<br>{cost}<br>{_values(probed.member.architecture)}"


def _reading_text(m: Measurement) -> str:
    flags = f"<br>flags: {escape(', '.join(m.flags))}" if m.flags else ""
    word = wording.origin(m)
    return (
        f"median {wording.latency(m.median_ns)}, peak memory {wording.size(m.memory.engine_bytes)}"
        f"<br>{escape(f'{word}, {m.variant}, protocol {m.protocol}')}{flags}"
    )


def _values(point: Point) -> str:
    return escape(", ".join(f"{name}={value}" for name, value in point))


def _latency_title(share: float) -> str:
    return f"Latency, p{share:g} upper bound (ms)"


def _ms(m: Measurement, share: float) -> float:
    """Return the upper bound of a percentile in ms; the median where there are too few samples for it."""
    bound = m.upper_bound_ns(share)
    return (m.median_ns if bound is None else bound) / _MS
