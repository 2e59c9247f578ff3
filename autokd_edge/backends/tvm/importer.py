"""From an ONNX graph to a Relax function in NHWC, operation by operation; what is not known is refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from autokd_edge.backends.tvm.network import Array, Network, Value
from autokd_edge.backends.tvm.processor import Processor

Vendor = Any


class UnsupportedError(Exception):
    """The graph holds what no kernel is written for; the message names it."""


class Graph:
    """An ONNX graph on its way: constants as arrays, all else as values of the network."""

    def __init__(self, model: onnx.ModelProto, network: Network, processor: Processor) -> None:
        self.network = network
        self.processor = processor
        self.arrays: dict[str, Array] = {}
        self.values: dict[str, Value] = {}
        # Constants that the graph holds as integers: the integers, the scales (), (1,) or (channels,), the axis of these.
        self.integers: dict[str, tuple[Array, Array, int]] = {}
        for tensor in model.graph.initializer:
            self.arrays[tensor.name] = numpy_helper.to_array(tensor)
        self._readers = Counter([name for node in model.graph.node for name in node.input] + [out.name for out in model.graph.output])

    def is_read_once(self, name: str) -> bool:
        """Say whether one node alone reads a tensor, which no one else would then compute again."""
        return self._readers[name] == 1

    def value(self, name: str) -> Value:
        """Return a value in real numbers."""
        return self.network.real(self.raw(name))

    def raw(self, name: str) -> Value:
        """Return a value as it is, 8-bit numbers included."""
        if name not in self.values:
            raise UnsupportedError(f"tensor '{name}' must come from the input; it is a constant")
        return self.values[name]

    def array(self, node: onnx.NodeProto, index: int) -> Array:
        """Return a constant input of a node."""
        name = node.input[index]
        if name not in self.arrays:
            raise UnsupportedError(f"input {index} of {node.op_type} '{_name(node)}' must be a constant; '{name}' is computed")
        return self.arrays[name]


Operation = Callable[[Graph, onnx.NodeProto], Value]


def relax_from_onnx(model: onnx.ModelProto, processor: Processor, operations: Mapping[str, Operation], dtype: str = "float32") -> Vendor:
    """Write the module with one function, ``main``: float32 image ``(1, c, h, w)`` to logits ``(1, classes)``.

    ``dtype`` is what real numbers are computed in between.

    Raises:
        UnsupportedError: an operation, a dynamic shape or an attribute that no kernel is written for.
    """
    from tvm import relax

    shape = input_shape(model)
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType(shape, "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            graph = Graph(model, Network(builder, dtype), processor)
            graph.values[_input(model).name] = graph.network.cast(Value(var=image, shape=shape), dtype)
            for node in model.graph.node:
                _add(graph, node, operations)
            logits = graph.network.cast(_logits(graph, model), "float32")
            out = builder.emit_output(logits.var)
        builder.emit_func_output(out)
    return builder.get()


def input_shape(model: onnx.ModelProto) -> tuple[int, int, int, int]:
    """Return the shape of the only image that a graph reads; raises UnsupportedError."""
    tensor = _input(model).type.tensor_type
    dims = tuple(dim.dim_value for dim in tensor.shape.dim)
    if len(dims) != 4 or min(dims) < 1 or dims[0] != 1 or tensor.elem_type != onnx.TensorProto.FLOAT:
        written = ", ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
        raise UnsupportedError(f"input '{_input(model).name}' must be one float32 image of fixed shape (1, c, h, w); got ({written})")
    return dims


def _input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    images: list[onnx.ValueInfoProto] = [value for value in model.graph.input if value.name not in constants]
    if len(images) != 1 or len(model.graph.output) != 1:
        raise UnsupportedError(f"a graph must have one input and one output; got {len(images)} and {len(model.graph.output)}")
    return images[0]


def _add(graph: Graph, node: onnx.NodeProto, operations: Mapping[str, Operation]) -> None:
    if node.op_type == "Constant":
        (value,) = node.attribute
        graph.arrays[node.output[0]] = (
            numpy_helper.to_array(value.t) if value.name == "value" else np.asarray(onnx.helper.get_attribute_value(value))
        )
        return
    if node.domain not in {"", "ai.onnx"} or node.op_type not in operations:
        raise UnsupportedError(
            f"operation {node.op_type} of node '{_name(node)}' is none of those that are known: {', '.join(sorted(operations))}"
        )
    if node.input[0] in graph.arrays and node.op_type == "DequantizeLinear":
        _dequantized_constant(graph, node)
    elif all(name in graph.arrays for name in node.input if name):
        raise UnsupportedError(f"{node.op_type} '{_name(node)}' computes with constants alone; fold it first")
    else:
        graph.values[node.output[0]] = operations[node.op_type](graph, node)


def _dequantized_constant(graph: Graph, node: onnx.NodeProto) -> None:
    """Keep the integers of a quantised constant beside its real numbers; zero points other than 0 are taken off."""
    whole = graph.array(node, 0)
    scale = np.asarray(graph.array(node, 1), np.float32)
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1) % max(1, whole.ndim)
    zero = graph.array(node, 2) if len(node.input) > 2 and node.input[2] else np.zeros((), whole.dtype)
    along = [1] * whole.ndim
    if scale.size > 1:
        along[axis] = scale.size
    shifted = whole.astype(np.int32) - zero.astype(np.int32).reshape(along if zero.size > 1 else [])
    name = node.output[0]
    graph.arrays[name] = shifted.astype(np.float32) * scale.reshape(along if scale.size > 1 else [])
    if whole.dtype in {np.dtype(np.int8), np.dtype(np.uint8)} and abs(shifted).max(initial=0) <= 127:
        graph.integers[name] = (shifted.astype(np.int8), scale.reshape(-1), axis)


def _logits(graph: Graph, model: onnx.ModelProto) -> Value:
    name = model.graph.output[0].name
    value = graph.network.plain(graph.value(name))
    if len(value.shape) == 4 and value.shape[2:] == (1, 1):
        value = graph.network.reshaped(value, value.shape[:2])
    if len(value.shape) != 2:
        raise UnsupportedError(f"output '{name}' must be logits (1, classes); got {value.shape}")
    return value


def _name(node: onnx.NodeProto) -> str:
    return node.name or node.output[0]
