"""Lower a student spec straight to ONNX, folded; no tracer and no torch, so it takes milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from autokd_edge.core.student import (
    INPUT,
    AvgPool,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    MaxPool,
    Relu,
    Relu6,
    Scale,
    StudentSpec,
)
from autokd_edge.students.folding import Affine, Arrays, Plain, Sum, folded, initial_arrays

OPSET = 13  # what TensorRT 8.2 on a Jetson Nano reads; nothing newer is needed
IR_VERSION = 8
OUTPUT = "logits"


def onnx_from_spec(spec: StudentSpec, arrays: Arrays | None = None) -> onnx.ModelProto:
    """Write a network as ONNX: ``input`` float32 ``(1, c, h, w)`` to ``logits`` ``(1, classes)``.

    Args:
        spec: the network.
        arrays: its weights; None draws random ones from ``spec.seed``.

    Raises:
        LoweringError: the spec or the weights cannot be folded.
    """
    writer = _Writer()
    for step in folded(spec, initial_arrays(spec) if arrays is None else arrays):
        match step:
            case Affine():
                writer.affine(step)
            case Plain():
                writer.plain(step)
            case Sum():
                writer.sum(step)
    writer.nodes[-1].output[0] = OUTPUT
    graph = helper.make_graph(
        writer.nodes,
        "student",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, *spec.input])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, spec.classes])],
        writer.initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="autokd-edge")


class _Writer:
    """Collects ONNX nodes and initialisers; a tensor has the name of the layer that gives it."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def affine(self, step: Affine) -> None:
        weight = self._constant(f"{step.name}.weight", step.weight)
        bias = self._constant(f"{step.name}.bias", step.bias)
        if isinstance(step.op, Conv2d):
            pad = step.op.kernel // 2
            self._node(
                "Conv",
                [step.source, weight, bias],
                step.name,
                kernel_shape=[step.op.kernel] * 2,
                strides=[step.op.stride] * 2,
                pads=[pad] * 4,
                group=step.op.groups,
            )
        else:
            self._node("Gemm", [step.source, weight, bias], step.name, transB=1)

    def plain(self, step: Plain) -> None:
        source, name = step.sources[0], step.name
        match step.op:
            case Relu():
                self._node("Relu", [source], name)
            case Relu6():
                self._node(
                    "Clip", [source, self._parameter(f"{name}.low", np.float32(0)), self._parameter(f"{name}.high", np.float32(6))], name
                )
            case HardSigmoid():
                self._node("HardSigmoid", [source], name, alpha=1 / 6, beta=0.5)
            case HardSwish():  # an operation of its own since opset 14 only
                self._node("HardSigmoid", [source], f"{name}.gate", alpha=1 / 6, beta=0.5)
                self._node("Mul", [source, f"{name}.gate"], name)
            case Scale():
                shape = self._parameter(f"{name}.shape", np.array([1, -1, 1, 1]))
                self._node("Reshape", [step.sources[1], shape], f"{name}.factors")
                self._node("Mul", [source, f"{name}.factors"], name)
            case Concat() | ChannelSlice() | ChannelShuffle():
                self._rearranged(step)
            case MaxPool() as pool:
                window = {"kernel_shape": [pool.kernel] * 2, "strides": [pool.stride] * 2}
                self._node("MaxPool", [source], name, **window, pads=[pool.kernel // 2] * 4)
            case AvgPool() as pool:
                self._node("AveragePool", [source], name, kernel_shape=[pool.kernel] * 2, strides=[pool.stride] * 2)
            case GlobalAvgPool():
                self._node("GlobalAveragePool", [source], f"{name}.image")
                self._node("Flatten", [f"{name}.image"], name)

    def _rearranged(self, step: Plain) -> None:
        name, sources = step.name, list(step.sources)
        match step.op:
            case ChannelSlice() as part:
                bounds = {"starts": part.start, "ends": part.stop, "axes": 1}
                sources += [self._parameter(f"{name}.{key}", np.array([value])) for key, value in bounds.items()]
                self._node("Slice", sources, name)
            case ChannelShuffle(groups=groups):
                channels, height, width = step.shape
                apart = self._parameter(f"{name}.apart", np.array([1, groups, channels // groups, height, width]))
                self._node("Reshape", [*sources, apart], f"{name}.groups")
                self._node("Transpose", [f"{name}.groups"], f"{name}.turned", perm=[0, 2, 1, 3, 4])
                self._node("Reshape", [f"{name}.turned", self._parameter(f"{name}.together", np.array([1, *step.shape]))], name)
            case _:
                self._node("Concat", sources, name, axis=1)

    def sum(self, step: Sum) -> None:
        terms = []
        for i, (source, factor) in enumerate(zip(step.sources, step.factors, strict=True)):
            if factor is None:
                terms.append(source)
            else:
                scalar = self._constant(f"{step.name}.factor{i}", np.array(factor))
                self._node("Mul", [source, scalar], f"{step.name}.scaled{i}")
                terms.append(f"{step.name}.scaled{i}")
        if len(terms) == 1:
            self._node("Identity", terms, step.name)
        total = terms[0]
        for i, term in enumerate(terms[1:], start=1):  # pairwise: runtimes fuse an addition into a convolution
            name = step.name if i == len(terms) - 1 else f"{step.name}.partial{i}"
            self._node("Add", [total, term], name)
            total = name

    def _constant(self, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
        self.initializers.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def _parameter(self, name: str, value: np.ndarray[tuple[int, ...], np.dtype[Any]] | np.float32) -> str:
        """Write what an operation's definition takes as an input, and no optimiser moves: no initialiser, so that those are the weights."""
        self._node("Constant", [], name, value=numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, op: str, inputs: list[str], output: str, **attributes: float | list[int] | onnx.TensorProto) -> None:
        node = helper.make_node(op, inputs, [output], name=output)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
