"""What is counted of an ONNX graph to predict its latency: for each kind of operation how many, how much, how large.

``nodes`` says how often something is started, ``macs`` what is computed, ``bytes`` what is moved: tensors read and
written, weights included, in float32. Quantise-dequantise pairs are passed over, so that a network and its quantised
form count the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import onnx

from autokd_edge.errors import MeasureError

Shapes = Mapping[str, tuple[int, ...]]
_FLOAT_BYTES = 4
_PASSED_OVER = {
    "QuantizeLinear",
    "DequantizeLinear",
    "Constant",
    "Identity",
    "Flatten",
    "Reshape",
    "Dropout",
    "Squeeze",
    "Unsqueeze",
    "Cast",
}
_ELEMENTWISE = {"Add", "Mul", "Sub", "Div", "Sum", "Mean", "Relu", "Clip", "HardSigmoid", "HardSwish", "Sigmoid", "Softmax"}
_POOLS = {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"}


def counts_of(model: onnx.ModelProto) -> dict[str, int]:
    """Count a graph whose input shape is fixed; raises MeasureError where the shape of a tensor cannot be inferred."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    counts: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in _PASSED_OVER:
            continue
        kind = _kind(node, shapes)
        counts[f"{kind} nodes"] += 1
        counts[f"{kind} bytes"] += sum(_bytes(name, shapes) for name in (*node.input, *node.output) if name)
        macs = _macs(node, shapes)
        if macs:
            counts[f"{kind} macs"] += macs
    return dict(sorted(counts.items()))


def _kind(node: onnx.NodeProto, shapes: Shapes) -> str:
    if node.op_type == "Conv":
        weight = _shape(node.input[1], shapes)
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        if groups > 1:
            return "depthwise" if weight[1] == 1 else "grouped"
        return "conv1x1" if math.prod(weight[2:]) == 1 else "conv"
    if node.op_type in {"Gemm", "MatMul"}:
        return "dense"
    if node.op_type in _POOLS:
        return "pool"
    return "elementwise" if node.op_type in _ELEMENTWISE else "other"


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type == "Conv":
        return math.prod(_shape(node.output[0], shapes)) * math.prod(_shape(node.input[1], shapes)[1:])
    if node.op_type in {"Gemm", "MatMul"}:
        turned = node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute)
        return math.prod(_shape(node.output[0], shapes)) * _shape(node.input[0], shapes)[0 if turned else -1]
    return 0


def _bytes(name: str, shapes: Shapes) -> int:
    return _FLOAT_BYTES * math.prod(_shape(name, shapes))


def _shape(name: str, shapes: Shapes) -> tuple[int, ...]:
    found = shapes.get(name)
    if found is None or 0 in found:
        raise MeasureError(f"a graph's shapes must be known to predict its latency; that of tensor '{name}' is not")
    return found
