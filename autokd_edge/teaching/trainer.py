"""Teach students of one data set by one loss; resumable, and the same for the same seed.

Batches are the same for every student of a study: sample order depends on the study's seed and the
epoch alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from autokd_edge.core.digest import digest_of_json
from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.student import StudentSpec
from autokd_edge.errors import StoreError, TeacherError, TeachError
from autokd_edge.ports import TaughtNetwork
from autokd_edge.students.cost import cost_of
from autokd_edge.students.lower_torch import SpecNetwork
from autokd_edge.teaching.arithmetic import fast_arithmetic, teaching_device
from autokd_edge.teaching.augment import Augmenter
from autokd_edge.teaching.batches import Batch, TrainingBatches
from autokd_edge.teaching.features import FeatureReader, feature_channels
from autokd_edge.teaching.lesson import Lesson
from autokd_edge.teaching.logits import TeacherLogits
from autokd_edge.teaching.losses import LOSSES, Lessons, Outputs
from autokd_edge.teaching.qat import GraphTuner
from autokd_edge.teaching.samples import LabelledImages, TeachingData
from autokd_edge.teaching.teacher import Teacher
from autokd_edge.teaching.variety import variants_of
from autokd_edge.teaching.weights import write_arrays

Answers = Callable[[Batch], Outputs]
Pace = Callable[[], AbstractContextManager[None]]
_NOTHING = Outputs(logits=torch.empty(0))


def loss_space(loss: str) -> SearchSpace:
    """Return the parameters of a loss that ``check_loss`` accepts."""
    return LOSSES[loss].space


class KDDistiller:
    """Teaches students of one data set by one of ``losses.LOSSES``, from a teacher where the loss needs one."""

    def __init__(
        self, data: TeachingData, teacher: Teacher | None, *, seed: int, cache: Path, loss: str = "kd", pace: Pace = nullcontext
    ) -> None:
        """Prepare to teach; ``cache`` is a folder for teacher outputs, shared by all students; each step is taken in a ``pace()``.

        Raises:
            TeacherError: the loss needs a teacher, or the features of one, and there is none.
        """
        check_loss(loss, teacher)
        self._data = data
        self._device = teaching_device()
        self._seed = seed
        self._pace = pace
        self._loss, self._kind = loss, LOSSES[loss]
        self._teacher_digest = None if teacher is None else teacher.digest
        self._batches = TrainingBatches(data, seed=seed)
        self._labels = torch.from_numpy(data.train.labels)
        self._teacher_channels: tuple[int, ...] = ()
        self._kept_macs: int | None = 0  # of a teacher whose answers are kept
        self._answers = self._asked(teacher, cache)

    @property
    def space(self) -> SearchSpace:
        """The parameters of the loss."""
        return self._kind.space

    def teach(self, spec: StudentSpec, distillation: Point, *, steps: int, seed: int, out: Path, until: int | None = None) -> TaughtNetwork:
        """Teach for ``steps`` batches of 128 and write the weights to ``out``; see ``ports.Distiller``."""
        if until is not None and not 1 <= until < steps:
            raise ValueError(f"a lesson must pause after 1 to {steps - 1} of its {steps} steps; got {until}")
        record, needed = (out.with_suffix(".json"), out) if until is None else (out.with_suffix(f".{until}.json"),) * 2
        if (known := _recorded(record, needed)) is not None:
            return known
        lesson = self._lesson(spec, distillation, steps=steps, seed=seed, out=out, until=until)
        epochs = self._batches.epochs(steps)
        variants = variants_of(self._batches.augment.plan, epochs, student_macs=cost_of(spec).macs, teacher_macs=self._kept_macs)
        self._go_on(lesson, steps if until is None else until, variants)
        if until is not None:
            lesson.save()
        with self._pace():
            accuracy = self._better(lesson)
        result = TaughtNetwork(accuracy=accuracy, loss=lesson.loss, seconds=lesson.seconds)
        _record(record, result)
        if until is None:
            write_arrays(out, lesson.network.arrays())
            lesson.forget()
        return result

    def fine_tuner(self, steps: int) -> GraphTuner:
        """Return what tunes quantised graphs for so many batches, as students are taught: the same batches, answers and loss."""
        return GraphTuner(
            batches=self._batches,
            answers=self._answers,
            labels=self._labels,
            loss=self._loss,
            seed=self._seed,
            teacher=self._teacher_digest,
            data=self._data.digest,
            steps=steps,
        )

    def _lesson(self, spec: StudentSpec, distillation: Point, *, steps: int, seed: int, out: Path, until: int | None) -> Lesson:
        """Return a lesson to go on with; from the beginning where what was saved is beyond ``until``."""
        channels = feature_channels(spec) if self._kind.needs_features else ()
        lessons = Lessons(student_channels=channels, teacher_channels=self._teacher_channels, labels=self._labels, seed=seed)
        partial = out.with_suffix(".partial")
        lesson = Lesson(spec, steps, seed, partial, self._kind(distillation, lessons), pauses=until is not None, device=self._device)
        if until is None or lesson.step <= until:
            return lesson
        lesson.forget()
        return Lesson(spec, steps, seed, partial, self._kind(distillation, lessons), pauses=True, device=self._device)

    def _go_on(self, lesson: Lesson, until: int, variants: int) -> None:
        """Take the steps that are missing; raises TeachError."""
        while lesson.step < until:
            with self._pace():
                self._take_step(lesson, until, variants)

    def _take_step(self, lesson: Lesson, until: int, variants: int) -> None:
        batch = self._batches.at(lesson.step, variants)
        answers = self._answers(batch)
        try:
            lesson.take_step(batch, answers)
        except RuntimeError as error:  # torch's own: too little memory, say
            raise TeachError(f"torch could not take step {lesson.step + 1} of {until}: {str(error).splitlines()[0]}") from error

    def _better(self, lesson: Lesson) -> float:
        """Leave the better of the last weights and their average in the network, by validation; return its accuracy."""
        accuracy = accuracy_of(lesson.network, self._data.validation, self._batches.augment)
        if lesson.averaged_weights() is None:
            return accuracy
        lesson.swap()
        averaged = accuracy_of(lesson.network, self._data.validation, self._batches.augment)
        if averaged < accuracy:
            lesson.swap()
        return max(accuracy, averaged)

    def _asked(self, teacher: Teacher | None, cache: Path) -> Answers:
        """Return what the teacher says of a batch: out of its table, or computed where the loss compares features."""
        if teacher is None or not self._kind.needs_teacher:
            return lambda _batch: _NOTHING
        if not self._kind.needs_features:
            key = digest_of_json([teacher.digest, self._data.digest, self._seed])
            self._kept_macs = None if teacher.cost is None else teacher.cost.macs
            table = TeacherLogits(teacher, samples=len(self._data.train), folder=cache / key)
            return lambda batch: Outputs(logits=table.of(batch.images, batch.index, batch.variant))
        assert teacher.layers is not None, "checked with the loss"  # noqa: S101
        before, network = teacher.layers()
        self._teacher_channels = feature_channels(network.spec)
        reader = FeatureReader(network.to(self._device), before=before.to(self._device))
        return lambda batch: _read(reader, batch.images.to(self._device))


def check_loss(loss: str, teacher: Teacher | None) -> None:
    """Refuse a loss that the teacher cannot serve; raises TeacherError."""
    if loss not in LOSSES:
        raise TeacherError(f"loss must be one of {', '.join(LOSSES)}; got '{loss}'", hint="--loss kd")
    alone = [name for name, kind in LOSSES.items() if not kind.needs_teacher]
    if teacher is None and LOSSES[loss].needs_teacher:
        raise TeacherError(f"loss '{loss}' needs a teacher; without one it must be one of {', '.join(alone)}", hint="--loss ls")
    if teacher is not None and LOSSES[loss].needs_features and teacher.layers is None:
        raise TeacherError(
            f"loss '{loss}' compares features, which are read off a layer graph; '{teacher.name}' is none",
            hint="--loss kd, or a teacher example:NAME or FILE.safetensors",
        )


@torch.no_grad()
def _read(reader: FeatureReader, images: Tensor) -> Outputs:
    with fast_arithmetic(images.device):
        return reader(images.contiguous(memory_format=torch.channels_last))


def _record(record: Path, result: TaughtNetwork) -> None:
    """Write what a lesson gave beside its weights, before them: the seconds must not change the weights' digest."""
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(asdict(result)))
    except OSError as error:
        raise StoreError(f"a lesson must be written to '{record}'; {error}", hint="free some space, or give another --out") from error


def _recorded(record: Path, needed: Path) -> TaughtNetwork | None:
    """Return what a lesson gave; None where its record, or the weights that belong to it, are not there."""
    try:
        return TaughtNetwork(**json.loads(record.read_text())) if needed.exists() else None
    except (OSError, ValueError, TypeError):
        return None


@torch.no_grad()
def accuracy_of(network: SpecNetwork, samples: LabelledImages, augment: Augmenter) -> float:
    """Return the share of right answers in %, computed in float32 without augmentation, where the network lies."""
    network.eval()
    device = next(network.parameters()).device
    right = 0
    for first in range(0, len(samples), 500):
        images = augment.plain(torch.from_numpy(samples.images[first : first + 500].copy())).to(device)
        right += int((network(images).argmax(1).cpu().numpy() == samples.labels[first : first + 500]).sum())
    return 100 * right / len(samples)
