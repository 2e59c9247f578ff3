"""Teach a student by plain knowledge distillation; resumable, and the same for the same seed.

SGD with Nesterov momentum and one learning-rate cycle (Smith, 2017, arXiv 1708.07120). Batches are
the same for every student of a study: sample order depends on the study's seed and the epoch alone.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from autokd_edge.core.digest import digest_of_json
from autokd_edge.core.space import Point, Real, SearchSpace
from autokd_edge.core.student import StudentSpec
from autokd_edge.errors import StoreError, TeachError
from autokd_edge.ports import TaughtNetwork
from autokd_edge.students.lower_torch import SpecNetwork, torch_from_spec
from autokd_edge.teaching.augment import Augmenter
from autokd_edge.teaching.batches import TrainingBatches
from autokd_edge.teaching.logits import TeacherLogits
from autokd_edge.teaching.losses import distillation_loss
from autokd_edge.teaching.samples import LabelledImages, TeachingData
from autokd_edge.teaching.teachers import Teacher
from autokd_edge.teaching.weights import write_arrays

PEAK_RATE = 0.4
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
WARM_SHARE = 0.25  # of the steps, while the rate rises
LARGEST_GRADIENT = 1.0  # norm; with the peak above the best of nine pairs by validation accuracy after 200 steps
SAVE_EVERY = 100  # steps, about 5 s: what a killed run loses at most
# Channels-last in bfloat16 was the fastest of four ways for both kinds of students, see docs/decisions/0004-teaching.md;
# asked of the processor, not timed, so that a seed gives the same weights on one machine.
_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001  no public name


class KDDistiller:
    """Teaches students of one data set from one teacher."""

    space = SearchSpace(parameters=(Real(name="tau", low=1.0, high=20.0, log=True), Real(name="alpha", low=0.0, high=1.0)))

    def __init__(self, data: TeachingData, teacher: Teacher, *, seed: int, cache: Path) -> None:
        """Prepare to teach; ``cache`` is a folder for teacher outputs, shared by all students."""
        self._data = data
        self._batches = TrainingBatches(data, seed=seed)
        key = digest_of_json([teacher.digest, data.digest, seed])
        self._teacher = TeacherLogits(teacher, self._batches.augment, samples=len(data.train), file=cache / f"{key}.npy")

    def teach(self, spec: StudentSpec, distillation: Point, *, steps: int, seed: int, out: Path) -> TaughtNetwork:
        """Teach for ``steps`` batches of 128 and write the weights to ``out``; see ``ports.Distiller``."""
        if (known := _recorded(out)) is not None:
            return known
        lesson = Lesson(spec, steps, seed, out.with_suffix(".partial"))
        tau, alpha = distillation.number("tau"), distillation.number("alpha")
        while lesson.step < steps:
            batch = self._batches.at(lesson.step)
            targets = self._teacher.of(batch.images, batch.index, batch.epoch)
            try:
                loss = distillation_loss(lesson.forward(batch.images), targets, batch.labels, tau=tau, alpha=alpha)
                lesson.descend(loss)
            except RuntimeError as error:  # torch's own: too little memory, say
                raise TeachError(f"torch could not take step {lesson.step + 1} of {steps}: {str(error).splitlines()[0]}") from error
        accuracy = accuracy_of(lesson.network, self._data.validation, self._batches.augment)
        result = TaughtNetwork(accuracy=accuracy, loss=lesson.loss, seconds=lesson.seconds)
        _record(out, result)
        write_arrays(out, lesson.network.arrays())
        lesson.forget()
        return result


class Lesson:
    """One network on its way through the steps, saved now and then."""

    def __init__(self, spec: StudentSpec, steps: int, seed: int, partial: Path) -> None:
        torch.manual_seed(seed)  # dropout draws from the global generator
        self.step = 0
        self.loss = math.nan
        self._partial = partial
        self._before_s = 0.0  # of earlier runs
        self._began = time.monotonic()
        self.network = torch_from_spec(spec).laid_out(torch.channels_last)
        self.network.train()
        self._optimizer = torch.optim.SGD(
            self.network.parameters(), lr=PEAK_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
        )
        self._steps = steps
        self._resume()

    @property
    def seconds(self) -> float:
        """Seconds of work so far, those of earlier runs included."""
        return self._before_s + time.monotonic() - self._began

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits ``(b, classes)`` of normalised images ``(b, c, h, w)``."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_BFLOAT16):
            logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return logits.float()

    def descend(self, loss: Tensor) -> None:
        """Take one optimiser step; raises TeachError where the loss is not finite."""
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise TeachError(f"the loss must be finite; it is {self.loss} at step {self.step + 1} of {self._steps}")
        for group in self._optimizer.param_groups:
            group["lr"] = _rate(self.step, self._steps)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self._optimizer.step()
        self.step += 1
        if self.step % SAVE_EVERY == 0 and self.step < self._steps:
            self._save()

    def forget(self) -> None:
        """Remove the saved state of a finished lesson."""
        self._partial.unlink(missing_ok=True)

    def _save(self) -> None:
        arrays = {f"network/{name}": value for name, value in self.network.arrays().items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            arrays[f"momentum/{number}"] = state["momentum_buffer"].contiguous()
        arrays["step"] = torch.tensor(self.step)
        arrays["seconds"] = torch.tensor(self.seconds)
        arrays["random"] = torch.get_rng_state()
        write_arrays(self._partial, arrays)

    def _resume(self) -> None:
        if not self._partial.exists():
            return
        arrays = load_file(self._partial)
        self.network.load_arrays({k.removeprefix("network/"): v for k, v in arrays.items() if k.startswith("network/")})
        momentum = {int(k.partition("/")[2]): {"momentum_buffer": v} for k, v in arrays.items() if k.startswith("momentum/")}
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": momentum})
        self.step = int(arrays["step"])
        self._before_s = float(arrays["seconds"])
        torch.set_rng_state(arrays["random"])


def _record(out: Path, result: TaughtNetwork) -> None:
    """Write what a lesson gave beside its weights, before them: the seconds must not change the weights' digest."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".json").write_text(json.dumps(asdict(result)))
    except OSError as error:
        raise StoreError(f"a lesson must be written beside '{out}'; {error}", hint="free some space, or give another --out") from error


def _recorded(out: Path) -> TaughtNetwork | None:
    """Return what a finished lesson gave; None where its weights or its record are not there."""
    try:
        return TaughtNetwork(**json.loads(out.with_suffix(".json").read_text())) if out.exists() else None
    except (OSError, ValueError, TypeError):
        return None


@torch.no_grad()
def accuracy_of(network: SpecNetwork, samples: LabelledImages, augment: Augmenter) -> float:
    """Return the share of right answers in %, computed in float32 without augmentation."""
    network.eval()
    right = 0
    for first in range(0, len(samples), 500):
        images = augment.plain(torch.from_numpy(samples.images[first : first + 500].copy()))
        right += int((network(images).argmax(1).numpy() == samples.labels[first : first + 500]).sum())
    return 100 * right / len(samples)


def _rate(step: int, steps: int) -> float:
    """Rise linearly to the peak, then fall along a cosine to nothing."""
    warm = max(1, round(WARM_SHARE * steps))
    if step < warm:
        return PEAK_RATE * (step + 1) / warm
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))
