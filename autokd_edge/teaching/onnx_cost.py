"""Exact counts of an ONNX graph for one image: parameters, multiply-accumulates, largest live activations."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import TensorProto

from autokd_edge.core.pupil import Cost

FLOAT_BYTES = 4
_WEIGHTS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.INT8, TensorProto.UINT8}
Shapes = Mapping[str, tuple[int, ...]]


def cost_of_graph(model: onnx.ModelProto) -> Cost | None:
    """Count a graph whose input shape is fixed; None where the shape of a tensor cannot be inferred."""
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    constants = [a.t for node in graph.node if node.op_type == "Constant" for a in node.attribute if a.name == "value"]
    parameters = sum(math.prod(t.dims) for t in (*graph.initializer, *constants) if t.data_type in _WEIGHTS and len(t.dims) > 0)
    computed = {name for node in graph.node if node.op_type != "Constant" for name in node.output if name}
    known = {name: shape for name, shape in shapes.items() if shape is not None} | weights
    if any(name not in known for name in computed):
        return None
    macs = sum(_macs(node, known) for node in graph.node)
    return Cost(parameters=parameters, macs=macs, activation_bytes=_largest_live(graph, known, set(weights)))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    tensor = value.type.tensor_type
    dims = [d.dim_value for d in tensor.shape.dim]
    return tuple(dims) if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim) else None


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type not in {"Conv", "Gemm", "MatMul"}:
        return 0
    out = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        return out * math.prod(shapes[node.input[1]][1:])  # weight (out, in / groups, kh, kw)
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    return out * shapes[node.input[0]][0 if turned else -1]


def _largest_live(graph: onnx.GraphProto, shapes: Shapes, weights: set[str]) -> int:
    """Walk the nodes in order; a tensor lives from its node to its last reader."""
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    ends = {value.name for value in graph.output}
    live = {value.name for value in graph.input if value.name not in weights}
    largest = 0
    for place, node in enumerate(graph.node):
        if node.op_type == "Constant":
            continue
        live |= {name for name in node.output if name}
        largest = max(largest, sum(FLOAT_BYTES * math.prod(shapes[name]) for name in live))
        live = {name for name in live if name in ends or last.get(name, -1) > place}
    return largest
