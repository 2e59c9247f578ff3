"""From images as students read them to images as a teacher reads them: channels, size and normalisation.

Notation: m, s mean and deviation by channel in pixel / 255; x the student's input, (p - m_s) / s_s.
The teacher wants (p - m_t) / s_t = x * (s_s / s_t) + (m_s - m_t) / s_t, after resizing. Resizing is linear in the rows and
in the columns of an image, so that two matrices say it for torch and for the graph alike, whatever the interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from autokd_edge.core.student import INPUT
from autokd_edge.errors import TeacherError
from autokd_edge.teaching.samples import TeachingData

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "nearest"]
SAME = 1e-4  # 0.03 of a grey level: no network tells these apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """How a network reads images: shape ``(c, h, w)``, and mean and std by channel in units of pixel / 255.

    Where ``before_crop`` says a height and a width, images are brought to it and ``image`` is their centre.
    Images of another size are resized by ``interpolation``, with antialiasing where they shrink, as image libraries do.
    """

    image: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    before_crop: tuple[int, int] | None = None
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if min(np.subtract(self.whole, self.image[1:])) < 0:
            raise ValueError(f"an image {self.image} must be cut from one of its size or more; got {self.before_crop}")
        if not len(self.mean) == len(self.std) == self.image[0] or min(self.std, default=0.0) <= 0 or min(self.image) < 1:
            raise ValueError(f"an image {self.image} needs a mean and a positive std for each channel; got {self.mean} and {self.std}")

    @property
    def whole(self) -> tuple[int, int]:
        """Height and width of what ``image`` is cut from."""
        return self.before_crop or self.image[1:]

    @property
    def facts(self) -> tuple[object, ...]:
        """What tells it from another, for digests."""
        crop = () if self.before_crop is None else (self.before_crop,)
        return (self.image, self.mean, self.std, *crop, *(() if self.interpolation == "bilinear" else (self.interpolation,)))


def reads_of(data: TeachingData) -> Reads:
    """Return how students of a data set read it."""
    return Reads(image=data.image, mean=data.mean, std=data.std)


class Bridge(nn.Module):
    """Turns a student's input ``(b, c, h, w)`` into a teacher's."""

    scale: Tensor
    shift: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, student: Reads, teacher: Reads, *, name: str) -> None:
        """Compute the map; raises TeacherError where a teacher of gray images meets colour."""
        super().__init__()
        if teacher.image[0] != student.image[0] and student.image[0] != 1:
            raise TeacherError(
                f"a teacher must have as many channels as the images, or read gray images as colour; '{name}' reads "
                f"{teacher.image[0]}, the images have {student.image[0]}",
                hint="give --data of the teacher's kind of images, or another --teacher",
            )
        wide = [np.broadcast_to(np.array(values, np.float64), teacher.image[0]) for values in (student.mean, student.std)]
        mean, std = np.array(teacher.mean), np.array(teacher.std)
        self.copies = teacher.image[0] // student.image[0]
        self.resizes = teacher.whole != student.image[1:]
        (height, width), (to_height, to_width) = student.image[1:], teacher.whole
        self.register_buffer("rows", resizing(height, to_height, teacher.interpolation), persistent=False)
        self.register_buffer("columns", resizing(width, to_width, teacher.interpolation).T.contiguous(), persistent=False)
        self.crop = None if teacher.whole == teacher.image[1:] else _centre(teacher)
        equal = np.allclose([wide[0] - mean, wide[1] - std], 0, atol=SAME)
        self.normalises = not equal
        self.register_buffer("scale", torch.tensor(wide[1] / std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor((wide[0] - mean) / std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    @property
    def before(self) -> tuple[int, int]:
        """Height and width of a student's image."""
        return self.rows.shape[1], self.columns.shape[0]

    def forward(self, images: Tensor) -> Tensor:
        """Bring a batch to the teacher's channels, size, crop and normalisation."""
        if self.copies > 1:
            images = torch.cat([images] * self.copies, dim=1)
        if self.resizes:
            images = self.rows @ images @ self.columns
        if self.crop is not None:
            (top, left), (bottom, right) = self.crop
            images = images[:, :, top:bottom, left:right]
        return images * self.scale + self.shift if self.normalises else images


def resizing(length: int, to: int, how: Interpolation) -> Tensor:
    """Return the matrix ``(to, length)`` that brings the rows of an image from one number to another."""
    rows = torch.eye(length).view(1, 1, length, length)
    if how == "nearest":
        return nn.functional.interpolate(rows, size=(to, length), mode="nearest-exact")[0, 0]
    return nn.functional.interpolate(rows, size=(to, length), mode=how, align_corners=False, antialias=True)[0, 0]


def _centre(reads: Reads) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (top, left) and (bottom, right) of the centre, rounded as torchvision does."""
    top, left = (round((whole - part) / 2) for whole, part in zip(reads.whole, reads.image[1:], strict=True))
    return (top, left), (top + reads.image[1], left + reads.image[2])


def bridged_graph(model: onnx.ModelProto, bridge: Bridge, student: Reads) -> onnx.ModelProto:
    """Return the teacher's graph with the bridge before it, reading ``input (1, c, h, w)`` and giving its first output alone.

    Raises:
        TeacherError: the graph does not have one image input.
    """
    graph = model.graph
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given]
    if len(inputs) != 1 or not graph.output:
        raise TeacherError(
            f"a teacher's graph must have one input and an output; it has {len(inputs)} and {len(graph.output)}",
            hint="export the part from the image to the logits",
        )
    inner = inputs[0].name
    nodes, constants, last = _nodes(bridge)
    if nodes:
        nodes[-1].output[0] = last = "bridge_out"
    for node in graph.node:
        node.name = f"teacher_{node.name}"
        node.input[:] = [last if name == inner else name for name in node.input]
    first = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, *student.image])
    output = graph.output[0]
    shape = output.type.tensor_type.shape
    if shape.dim:
        shape.dim[0].Clear()
        shape.dim[0].dim_value = 1
    made = helper.make_graph([*nodes, *graph.node], "teacher", [first], [output], [*graph.initializer, *constants])
    return helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version, functions=model.functions)


def _nodes(bridge: Bridge) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], str]:
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    value = INPUT

    def constant(name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        constants.append(numpy_helper.from_array(array, name))
        return name

    def put(op: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401  an attribute may be of many types
        nodes.append(helper.make_node(op, inputs, [f"bridge_{len(nodes)}"], name=f"bridge_{op}_{len(nodes)}", **attributes))
        return f"bridge_{len(nodes) - 1}"

    if bridge.copies > 1:
        value = put("Concat", *[value] * bridge.copies, axis=1)
    if bridge.resizes:
        value = put("MatMul", constant("bridge_rows", bridge.rows.cpu().numpy()), value)
        value = put("MatMul", value, constant("bridge_columns", bridge.columns.cpu().numpy()))
    if bridge.crop is not None:
        ends = [constant(f"bridge_crop_{n}", np.array(end, np.int64)) for n, end in enumerate((*bridge.crop, (2, 3)))]
        value = put("Slice", value, *ends)
    if bridge.normalises:
        value = put("Mul", value, constant("bridge_scale", bridge.scale.cpu().numpy()))
        value = put("Add", value, constant("bridge_shift", bridge.shift.cpu().numpy()))
    return nodes, constants, value
