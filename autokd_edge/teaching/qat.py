"""Quantisation-aware tuning: teach a quantised graph on, its rounding in the loop, from what its quantiser made of it.

A graph of a device has its batch norms folded, and it is taught so: what is learnt is what the engine computes with. It runs in
float32 throughout, on the processor: the eight bits of bfloat16 would be noise as large as that of the integers. Adam (Kingma,
Ba, 2014, arXiv 1412.6980), because weights and ranges are learnt in units of their own, and a rate that falls along a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import onnx
import torch
from safetensors.torch import load_file
from torch import Tensor

from autokd_edge.core.atomic import written_whole
from autokd_edge.core.digest import Digest
from autokd_edge.core.quantization import FineTuningRecipe
from autokd_edge.core.space import Point
from autokd_edge.errors import StoreError, TeachError
from autokd_edge.teaching.arithmetic import CPU
from autokd_edge.teaching.batches import Batch, TrainingBatches
from autokd_edge.teaching.losses import LOSSES, Lessons, Outputs
from autokd_edge.teaching.qdq_network import QDQNetwork
from autokd_edge.teaching.weights import write_arrays

# Of four pairs the best by validation accuracy of a residual network with one channel 400 times the others (digits, 200 steps,
# ONNX Runtime and OpenVINO): 9.7 % untuned, 97.3 and 96.7 % with this one, 95.0 to 95.7 and 93.0 to 95.7 % with the others.
RATE = 0.1  # steps of its integers that a weight may move at a time
RANGE_RATE = 0.03  # of the logarithm of a range
SAVE_EVERY = 100  # optimiser steps: what a killed run loses at most
# Where no search chose the parameters of a loss; tau and alpha are those that examples of distillation begin with.
USUAL = MappingProxyType({"kd": Point(values=(("tau", 4.0), ("alpha", 0.9))), "ls": Point(values=(("epsilon", 0.1),))})


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTuner:
    """Tunes quantised graphs for ``steps`` with the batches, the teacher's answers and the loss of lessons.

    A loss that compares features is replaced by plain distillation: a graph folded for a device does not give them.
    """

    batches: TrainingBatches
    answers: Callable[[Batch], Outputs]
    labels: Tensor  # (samples,)
    loss: str
    seed: int  # of the batches
    teacher: Digest | None
    data: Digest
    steps: int

    def recipe(self, distillation: Point | None = None) -> FineTuningRecipe:
        """Return how graphs are tuned; ``distillation`` are the parameters of the loss, by default the usual ones."""
        loss = "kd" if LOSSES[self.loss].needs_features else self.loss
        point = distillation if distillation is not None and loss == self.loss else USUAL[loss]
        return FineTuningRecipe(steps=self.steps, loss=loss, distillation=point, seed=self.seed, teacher=self.teacher, data=self.data)

    def tune(self, graph: Path, recipe: FineTuningRecipe, *, out: Path) -> None:
        """Tune a graph by a recipe of this tuner's and write it to ``out``; see ``ports.FineTuner``."""
        if out.exists():
            return
        lesson = TuningLesson(QDQNetwork(onnx.load(graph)), recipe.steps, out.with_suffix(".partial"))
        lessons = Lessons(student_channels=(), teacher_channels=(), labels=self.labels, seed=recipe.seed)
        loss = LOSSES[recipe.loss](recipe.distillation, lessons)
        while lesson.step < recipe.steps:
            batch = self.batches.at(lesson.step)
            answers = self.answers(batch).to(CPU)
            try:
                lesson.descend(loss(lesson.forward(batch.images), answers, batch.labels, batch.index))
            except RuntimeError as error:  # torch's own: too little memory, say
                reason = str(error).splitlines()[0]
                raise TeachError(f"torch could not take step {lesson.step + 1} of {recipe.steps} of tuning: {reason}") from error
        _write(out, lesson.network.written())
        lesson.forget()


class TuningLesson:
    """A quantised graph on its way; goes on from what was saved in ``partial``."""

    def __init__(self, network: QDQNetwork, steps: int, partial: Path) -> None:
        self.network = network.train()
        self.step = 0
        self._steps = steps
        self._partial = partial
        ranges = network.ranges()
        known = set(map(id, ranges))
        constants = [parameter for parameter in network.parameters() if id(parameter) not in known]
        self._optimizer = torch.optim.Adam([{"params": constants, "lr": RATE}, {"params": ranges, "lr": RANGE_RATE}])
        self._rates = (RATE, RANGE_RATE)
        self._resume()

    def forward(self, images: Tensor) -> Outputs:
        """Return logits ``(b, classes)`` of normalised images ``(b, c, h, w)``."""
        return Outputs(logits=self.network(images.contiguous(memory_format=torch.channels_last)))

    def descend(self, loss: Tensor) -> None:
        """Take one optimiser step; raises TeachError where the loss is not finite."""
        found = loss.item()
        if not math.isfinite(found):
            raise TeachError(f"the loss of tuning must be finite; it is {found} at step {self.step + 1} of {self._steps}")
        share = 0.5 * (1 + math.cos(math.pi * self.step / self._steps))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.step += 1
        if self.step % SAVE_EVERY == 0 and self.step < self._steps:
            self._save()

    def forget(self) -> None:
        """Remove the saved state of finished tuning."""
        self._partial.unlink(missing_ok=True)

    def _save(self) -> None:
        arrays = {f"moved/{name}": value.detach().contiguous() for name, value in self.network.named_parameters()}
        for number, state in self._optimizer.state_dict()["state"].items():
            arrays |= {f"adam/{number}/{name}": value.contiguous() for name, value in state.items()}
        write_arrays(self._partial, arrays | {"step": torch.tensor(self.step)})

    @torch.no_grad()
    def _resume(self) -> None:
        if not self._partial.exists():
            return
        arrays = load_file(self._partial)
        for name, parameter in self.network.named_parameters():
            parameter.copy_(arrays[f"moved/{name}"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in arrays.items():
            if key.startswith("adam/"):
                _, number, name = key.split("/")
                state.setdefault(int(number), {})[name] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self.step = int(arrays["step"])


def _write(out: Path, model: onnx.ModelProto) -> None:
    try:
        with written_whole(out) as begun:
            begun.write_bytes(model.SerializeToString(deterministic=True))
    except OSError as error:
        raise StoreError(f"a tuned graph must be written to '{out}'; {error}", hint="free some space, or give another --out") from error
