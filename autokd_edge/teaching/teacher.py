"""A teacher: whatever gives logits for a batch of images and, where it can, a graph for the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.pupil import Cost
from autokd_edge.core.student import StudentSpec
from autokd_edge.ports import TeacherNetwork
from autokd_edge.students.lower_torch import SpecNetwork
from autokd_edge.teaching.samples import TeachingData

Answers: TypeAlias = Callable[[Tensor], Tensor]  # images (b, c, h, w) as students read them -> logits (b, classes) float32, CPU
GraphWriter: TypeAlias = Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A teacher that fits its data set; all of its parts read images as the students of the data set do.

    Attributes:
        digest: of its file and of how it reads images: equal digests give equal logits.
        classes: number of its logits.
        answers: loads it and returns what answers for batches.
        write_graph: writes it as ONNX, ``input (1, c, h, w)`` to logits; None where it cannot be expressed so, and then
            it is not measured on the target.
        cost: exact counts of that graph; None where there is none, or a shape in it is not known.
        spec: its layers, where it is a layer graph, for drawing.
        layers: what comes before its layer graph, and the graph as a torch network, for losses that compare features.
    """

    name: str
    digest: Digest
    classes: int
    answers: Callable[[], Answers]
    write_graph: GraphWriter | None
    cost: Cost | None
    spec: StudentSpec | None = None
    layers: Callable[[], tuple[nn.Module, SpecNetwork]] | None = None


def teacher_network(teacher: Teacher, data: TeachingData) -> TeacherNetwork:
    """Return the teacher as the pipeline compares it; the graph's key holds how the data's students read images."""

    def answer(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = teacher.answers()(torch.from_numpy(images)).numpy()
        return found

    return TeacherNetwork(
        digest=digest_of_json([teacher.digest, data.image, data.mean, data.std]),
        cost=teacher.cost,
        write_graph=teacher.write_graph,
        answer=answer,
        run_by="torch fp32",
    )
