"""Compare images per second of a teaching with a straightforward loop: torch's DataLoader, and the teacher run on every batch.

    python tools/bench/teaching_throughput.py --steps 40 --json tools/bench/results/teaching_throughput.json

Same student, teacher, batch, loss, optimiser and augmentation. The loop is what most people write first:
samples varied one by one in a Dataset, float32, torch's own memory layout. The law: at least 1.5 times as many.
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
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from autokd_edge.core.space import Point, Value
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.lower_torch import torch_from_spec
from autokd_edge.teaching.batches import BATCH, TrainingBatches
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.lesson import LARGEST_GRADIENT, MOMENTUM, WEIGHT_DECAY, Lesson
from autokd_edge.teaching.logits import TeacherLogits
from autokd_edge.teaching.losses import KD, Lessons, Outputs
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Teacher
from autokd_edge.teaching.teachers import load_teacher

STUDENTS: Mapping[str, Mapping[str, Value]] = {
    "small dense": {"N_t": 3, "N_m": 1, "N_b": 3, "width": 50_000, "op": "conv3x3"},
    "medium dense": {"N_t": 3, "N_m": 1, "N_b": 7, "K_b": 2, "P_b": 0.5, "width": 200_000, "op": "conv3x3"},
    "separable": {"N_t": 3, "N_m": 1, "N_b": 3, "width": 50_000, "op": "separable"},
}
LAW, WARM = 1.5, 3
TAU, ALPHA = 4.0, 0.9


def main() -> int:
    """Time both for three students; status 1 where the worst ratio with cached logits breaks the law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = data_source("fashion-mnist").teaching()
    teacher = load_teacher("example:fashion-mnist", data)
    family, task = NagoFamily(), Task(image=data.image, classes=len(data.classes), channel_multiple=8)
    results = {}
    for label, values in STUDENTS.items():
        spec = family.spec(family.space(task).point(values), task, 0)
        loop = max(_straightforward(spec, data, teacher, options.steps, workers) for workers in (0, 2))
        first, cached = _ours(spec, data, teacher, options.steps)
        results[label] = {"loop": loop, "ours_first_epoch": first, "ours_cached": cached, "ratio": cached / loop}
        print(label, {name: round(value, 2) for name, value in results[label].items()}, flush=True)
    worst = min(result["ratio"] for result in results.values())
    document = {**facts(), "threads": torch.get_num_threads(), "unit": "images per second", "law": LAW, "worst_ratio": worst}
    if options.json is not None:
        options.json.write_text(json.dumps({**document, "students": results}, indent=1) + "\n")
    return 0 if worst >= LAW else 1


class _Samples(Dataset[tuple[torch.Tensor, int]]):
    """One sample at a time: shifted, mirrored, normalised."""

    def __init__(self, data: TeachingData) -> None:
        self._data = data
        self._mean, self._std = (torch.tensor(v).view(-1, 1, 1) for v in (data.mean, data.std))

    def __len__(self) -> int:
        return len(self._data.train)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        shift, (_, height, width) = self._data.augmentation.shift, self._data.image
        image = torch.from_numpy(self._data.train.images[number].copy()).float() / 255
        image = functional.pad(image[None], (shift,) * 4, mode="replicate")[0]
        top, left = (int(torch.randint(0, 2 * shift + 1, ())) for _ in range(2))
        image = image[:, top : top + height, left : left + width]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        return (image - self._mean) / self._std, int(self._data.train.labels[number])


def _straightforward(spec: StudentSpec, data: TeachingData, teacher: Teacher, steps: int, workers: int) -> float:
    student = torch_from_spec(spec).train()
    if teacher.layers is None:
        sys.exit("the example teacher must be a layer graph")
    network = teacher.layers()[1].laid_out(torch.contiguous_format)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    batches = iter(DataLoader(_Samples(data), batch_size=BATCH, shuffle=True, num_workers=workers))

    def step(_: int) -> None:
        images, labels = next(batches)
        with torch.no_grad():
            soft = functional.log_softmax(network(images) / TAU, dim=1)
        logits = student(images)
        kl = functional.kl_div(functional.log_softmax(logits / TAU, dim=1), soft, reduction="batchmean", log_target=True)
        loss = (1 - ALPHA) * functional.cross_entropy(logits, labels) + ALPHA * TAU**2 * kl
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_(student.parameters(), LARGEST_GRADIENT)
        optimizer.step()

    return _per_second(step, steps)


def _ours(spec: StudentSpec, data: TeachingData, teacher: Teacher, steps: int) -> tuple[float, float]:
    """Return images per second while the table is filled, and when it is there."""
    batches = TrainingBatches(data, seed=0)
    unknown = Lessons(student_channels=(), teacher_channels=(), labels=torch.empty(0), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        table = TeacherLogits(teacher, samples=len(data.train), folder=Path(folder) / "logits")
        loss = KD(Point(values=(("tau", TAU), ("alpha", ALPHA))), unknown)
        lesson = Lesson(spec, 4 * (steps + WARM), 0, Path(folder) / "partial", loss)

        def step(number: int) -> None:
            batch = batches.at(number)
            answers = Outputs(logits=table.of(batch.images, batch.index, batch.variant))
            lesson.take_step(batch, answers)

        return _per_second(step, steps), _per_second(step, steps)


def _per_second(step: Callable[[int], None], steps: int) -> float:
    seconds = []
    for number in range(steps + WARM):
        began = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - began)
    return BATCH / statistics.mean(seconds[WARM:])


if __name__ == "__main__":
    sys.exit(main())
