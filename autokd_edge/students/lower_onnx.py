"""Lower a student spec straight to ONNX, folded; no tracer and no torch, so it takes milliseconds."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from autokd_edge.core.student import INPUT, AvgPool, Conv2d, GlobalAvgPool, Relu, StudentSpec
from autokd_edge.students.folding import Affine, Arrays, Pointwise, Sum, folded, initial_arrays

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
            case Pointwise():
                writer.pointwise(step)
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

    def pointwise(self, step: Pointwise) -> None:
        match step.op:
            case Relu():
                self._node("Relu", [step.source], step.name)
            case AvgPool() as pool:
                self._node("AveragePool", [step.source], step.name, kernel_shape=[pool.kernel] * 2, strides=[pool.stride] * 2)
            case GlobalAvgPool():
                self._node("GlobalAveragePool", [step.source], f"{step.name}.image")
                self._node("Flatten", [f"{step.name}.image"], step.name)

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

    def _node(self, op: str, inputs: list[str], output: str, **attributes: int | list[int]) -> None:
        node = helper.make_node(op, inputs, [output], name=output)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
