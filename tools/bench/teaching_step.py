"""Compare a teaching step with cached teacher logits with the same step by plain cross-entropy, interleaved.

    python tools/bench/teaching_step.py --steps 60 --json tools/bench/results/teaching_step.json

The law: at most 1.05 times. The teacher's outputs are in the table before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported

import torch
from bench_facts import facts

from autokd_edge.core.space import Point, Value
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.teaching.batches import TrainingBatches
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.lesson import Lesson
from autokd_edge.teaching.logits import TeacherLogits
from autokd_edge.teaching.losses import KD, CrossEntropy, Lessons, Loss, Outputs
from autokd_edge.teaching.teachers import load_teacher

STUDENTS: Mapping[str, Mapping[str, Value]] = {
    "small dense": {"N_t": 3, "N_m": 1, "N_b": 3, "width": 50_000, "op": "conv3x3"},
    "medium dense": {"N_t": 3, "N_m": 1, "N_b": 7, "K_b": 2, "P_b": 0.5, "width": 200_000, "op": "conv3x3"},
    "separable": {"N_t": 3, "N_m": 1, "N_b": 3, "width": 50_000, "op": "separable"},
}
LAW = 1.05
BATCHES = 8


def main() -> int:
    """Time both steps for three students; status 1 where the median ratio breaks the law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = data_source("fashion-mnist").teaching()
    teacher = load_teacher("example:fashion-mnist", data)
    batches = TrainingBatches(data, seed=0)
    nothing = Outputs(logits=torch.empty(0))
    family, task = NagoFamily(), Task(image=data.image, classes=len(data.classes), channel_multiple=8)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        logits = TeacherLogits(teacher, samples=len(data.train), folder=Path(name) / "logits")
        for step in range(BATCHES):
            batch = batches.at(step)
            logits.of(batch.images, batch.index, batch.variant)

        def distilled(lesson: Lesson, step: int) -> None:
            batch = batches.at(step)
            answers = Outputs(logits=logits.of(batch.images, batch.index, batch.variant))
            lesson.take_step(batch, answers)

        def plain(lesson: Lesson, step: int) -> None:
            batch = batches.at(step)
            lesson.take_step(batch, nothing)

        for label, values in STUDENTS.items():
            spec = family.spec(family.space(task).point(values), task, 0)
            results[label] = _compare(spec, Path(name), options.steps, distilled, plain)
            print(label, results[label], flush=True)
    worst = max(result["ratio"] for result in results.values())
    document = {**facts(), "law": LAW, "worst_ratio": worst, "students": results}
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if worst <= LAW else 1


def _compare(
    spec: StudentSpec,
    folder: Path,
    steps: int,
    distilled: Callable[[Lesson, int], None],
    plain: Callable[[Lesson, int], None],
) -> dict[str, float]:
    unknown = Lessons(student_channels=(), teacher_channels=(), labels=torch.empty(0), seed=0)
    losses: dict[Callable[[Lesson, int], None], Loss] = {
        distilled: KD(Point(values=(("tau", 4.0), ("alpha", 0.9))), unknown),
        plain: CrossEntropy(Point(values=()), unknown),
    }
    lessons = {take: Lesson(spec, steps + 3, 0, folder / str(number), loss) for number, (take, loss) in enumerate(losses.items())}
    seconds: dict[Callable[[Lesson, int], None], list[float]] = {distilled: [], plain: []}
    for step in range(steps + 3):
        order = (distilled, plain) if step % 2 else (plain, distilled)
        for take in order:
            began = time.perf_counter()
            take(lessons[take], step % BATCHES)
            seconds[take].append(time.perf_counter() - began)
    kd, ce = (statistics.median(seconds[take][3:]) for take in (distilled, plain))
    return {"distillation_ms": 1e3 * kd, "cross_entropy_ms": 1e3 * ce, "ratio": kd / ce}


if __name__ == "__main__":
    sys.exit(main())
