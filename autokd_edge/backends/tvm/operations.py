"""The ONNX operations that this backend knows, each as kernels of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from autokd_edge.backends.tvm import integer, kernels
from autokd_edge.backends.tvm.convolution import Window, float_convolution, window_of
from autokd_edge.backends.tvm.importer import Graph, Operation, UnsupportedError
from autokd_edge.backends.tvm.kernels import Maths
from autokd_edge.backends.tvm.network import ANCHOR, Array, Value

Expression = kernels.Expression


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _conv(graph: Graph, node: onnx.NodeProto) -> Value:
    weight = graph.array(node, 1)  # (o, c / groups, u, v)
    if weight.ndim != 4:
        raise UnsupportedError(f"Conv '{node.name}' must be of two dimensions; its weight is {weight.shape}")
    window = window_of(node, weight.shape[2:])
    bias = graph.array(node, 2) if len(node.input) > 2 and node.input[2] else None
    image = graph.raw(node.input[0])
    if integer.fits(graph, image, node.input[1], axis=0):
        return integer.convolution(graph, image, graph.integers[node.input[1]], window, bias)
    return float_convolution(graph.network, graph.value(node.input[0]), weight, window, bias)


def _gemm(graph: Graph, node: onnx.NodeProto) -> Value:
    given = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **attributes(node)}
    if given["transA"]:
        raise UnsupportedError(f"Gemm '{node.name}' must not transpose its first input")
    bias = graph.array(node, 2) * np.float32(given["beta"]) if len(node.input) > 2 and node.input[2] else None
    features = graph.raw(node.input[0])
    axis = 0 if given["transB"] else 1
    if given["alpha"] == 1 and integer.fits(graph, features, node.input[1], axis=axis):
        return integer.dense(graph, features, graph.integers[node.input[1]], bias)
    weight = graph.array(node, 1) * np.float32(given["alpha"])
    return _dense(graph, graph.value(node.input[0]), weight.T if given["transB"] else weight, bias)


def _matmul(graph: Graph, node: onnx.NodeProto) -> Value:
    weight, features = graph.array(node, 1), graph.raw(node.input[0])
    if weight.ndim != 2 or len(features.shape) != 2:
        raise UnsupportedError(f"MatMul '{node.name}' must multiply (1, k) by (k, o); got {features.shape} by {weight.shape}")
    if integer.fits(graph, features, node.input[1], axis=1):
        return integer.dense(graph, features, graph.integers[node.input[1]], None)
    return _dense(graph, graph.value(node.input[0]), weight, None)


def _dense(graph: Graph, features: Value, weight: Array, bias: Array | None) -> Value:
    flat = graph.network.plain(features)
    made = graph.network.emit(
        "dense", lambda x, w: kernels.dense(x, w, graph.network.dtype), flat, weight.astype(np.float32), pattern=ANCHOR
    )
    if bias is None:
        return made
    return graph.network.pointwise("bias", lambda x, b: x + b, made, np.broadcast_to(bias, made.shape)[0].astype(np.float32))


def _unary(function: Callable[[Maths, Expression], Expression]) -> Operation:
    def operation(graph: Graph, node: onnx.NodeProto) -> Value:
        return graph.network.applied(node.op_type.lower(), function, graph.value(node.input[0]))

    return operation


def _clip(graph: Graph, node: onnx.NodeProto) -> Value:
    bounds = [float(graph.array(node, i)) if len(node.input) > i and node.input[i] else None for i in (1, 2)]
    given = attributes(node)
    low, high = (given.get(name, bound) for name, bound in zip(("min", "max"), bounds, strict=True))

    def clip(maths: Maths, x: Expression) -> Expression:
        x = x if low is None else maths.larger(x, maths.number(low))
        return x if high is None else maths.smaller(x, maths.number(high))

    return graph.network.applied("clip", clip, graph.value(node.input[0]))


def _hard_sigmoid(graph: Graph, node: onnx.NodeProto) -> Value:
    given = {"alpha": 0.2, "beta": 0.5, **attributes(node)}
    return graph.network.applied(
        "hard_sigmoid", lambda maths, x: _gate(maths, x, given["alpha"], given["beta"]), graph.value(node.input[0])
    )


def _gate(maths: Maths, x: Expression, alpha: float, beta: float) -> Expression:
    return maths.smaller(maths.larger(x * maths.number(alpha) + maths.number(beta), maths.number(0)), maths.number(1))


def _binary(function: Callable[[Expression, Expression], Expression]) -> Operation:
    def operation(graph: Graph, node: onnx.NodeProto) -> Value:
        network, (left, right), name = graph.network, node.input, node.op_type.lower()
        if left in graph.arrays:
            value = network.image(graph.value(right))
            return network.applied(name, lambda _, x, c: function(c, x), value, _like(graph.arrays[left], value, node))
        value = network.image(graph.value(left))
        if right in graph.arrays:
            return network.applied(name, lambda _, x, c: function(x, c), value, _like(graph.arrays[right], value, node))
        other = network.image(graph.value(right))
        if value.channels_last != other.channels_last:
            raise UnsupportedError(f"{node.op_type} '{node.name}' must have inputs of one rank; got {value.shape} and {other.shape}")
        made = network.applied(name, lambda _, x, y: function(x, y), value, other)
        return replace(made, made_of=integer.added(value, other)) if node.op_type == "Add" else made

    return operation


def _like(constant: Array, value: Value, node: onnx.NodeProto) -> Array:
    """Lay a constant out as the value that it meets: 1 or ``(c,)`` numbers where that is enough."""
    constant = constant.astype(np.float32)
    if constant.size == 1:
        return constant.reshape(1)
    whole = constant.reshape((1,) * (len(value.shape) - constant.ndim) + constant.shape)
    if value.channels_last:
        whole = whole.transpose(0, 2, 3, 1)
    if whole.ndim != len(value.shape) or any(c not in {1, d} for c, d in zip(whole.shape, value.shape, strict=True)):
        raise UnsupportedError(f"the constant of {node.op_type} '{node.name}' must broadcast to {value.shape}; it is {constant.shape}")
    return whole.reshape(-1) if whole.shape[-1] == whole.size else np.broadcast_to(whole, value.shape)


def _average_pool(graph: Graph, node: onnx.NodeProto) -> Value:
    given = attributes(node)
    window = window_of(node, given["kernel_shape"])
    if any(map(any, window.pads)) and not given.get("count_include_pad", 0):
        raise UnsupportedError(f"AveragePool '{node.name}' must not be padded, or count its padding")
    image = graph.network.padded(graph.network.image(graph.value(node.input[0])), window.pads, 0.0)
    return _averaged(graph, image, window)


def _averaged(graph: Graph, image: Value, window: Window) -> Value:
    total = graph.network.emit(
        "average_pool", lambda x: kernels.window_sum(x, window.size, window.stride, graph.network.dtype), image, pattern=ANCHOR, like=image
    )
    return graph.network.pointwise("average", lambda x, share: x * share, total, np.array([1 / math.prod(window.size)], np.float32))


def _max_pool(graph: Graph, node: onnx.NodeProto) -> Value:
    window = window_of(node, attributes(node)["kernel_shape"])
    image = graph.network.image(graph.value(node.input[0]))
    lowest = float(np.finfo(graph.network.dtype).min)
    image = graph.network.padded(image, window.pads, lowest)
    return graph.network.emit("max_pool", lambda x: kernels.window_max(x, window.size, window.stride), image, pattern=ANCHOR, like=image)


def _global_average_pool(graph: Graph, node: onnx.NodeProto) -> Value:
    image = graph.network.image(graph.raw(node.input[0]))
    window = Window(size=(image.shape[1], image.shape[2]), stride=(1, 1), dilation=(1, 1), pads=((0, 0),) * 4, groups=1)
    if image.quantisation is not None:
        return integer.mean(graph, image)
    return _averaged(graph, image, window)


def _reduce_mean(graph: Graph, node: onnx.NodeProto) -> Value:
    given = attributes(node)
    axes = given["axes"] if "axes" in given else graph.array(node, 1).tolist()
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise UnsupportedError(f"ReduceMean '{node.name}' must be over an image's pixels, axes 2 and 3; got {axes}")
    mean = _global_average_pool(graph, node)
    return mean if given.get("keepdims", 1) else graph.network.reshaped(mean, (1, mean.shape[-1]))


def _flatten(graph: Graph, node: onnx.NodeProto) -> Value:
    value = graph.raw(node.input[0])
    return graph.network.reshaped(value, (1, math.prod(value.shape)))


def _reshape(graph: Graph, node: onnx.NodeProto) -> Value:
    value = graph.raw(node.input[0])
    before = value.shape if not value.channels_last else tuple(value.shape[axis] for axis in (0, 3, 1, 2))
    asked = [before[i] if d == 0 else int(d) for i, d in enumerate(graph.array(node, 1).tolist())]
    known = math.prod(d for d in asked if d > 0)
    return graph.network.reshaped(value, [math.prod(before) // known if d < 0 else d for d in asked])


def _transpose(graph: Graph, node: onnx.NodeProto) -> Value:
    value = graph.network.plain(graph.raw(node.input[0]))
    order = attributes(node).get("perm", list(reversed(range(len(value.shape)))))
    made = graph.network.emit("transpose", lambda x: kernels.transposed(x, order), value)
    return replace(made, quantisation=value.quantisation)


def _concat(graph: Graph, node: onnx.NodeProto) -> Value:
    parts = [graph.network.image(graph.value(name)) for name in node.input]
    axis = attributes(node)["axis"] % len(parts[0].shape)
    if axis != 1:
        raise UnsupportedError(f"Concat '{node.name}' must join channels, axis 1; got {axis}")
    return graph.network.emit("concat", kernels.joined, *parts, like=parts[0])


def _slice(graph: Graph, node: onnx.NodeProto) -> Value:
    value = graph.network.image(graph.raw(node.input[0]))
    rank = len(value.shape)
    starts, ends = (graph.array(node, i).tolist() for i in (1, 2))
    axes = graph.array(node, 3).tolist() if len(node.input) > 3 and node.input[3] else list(range(len(starts)))
    steps = graph.array(node, 4).tolist() if len(node.input) > 4 and node.input[4] else [1] * len(starts)
    places = (0, 3, 1, 2) if value.channels_last else range(rank)  # where ONNX's axis lies in memory
    where = [0] * rank, list(value.shape), [1] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = places[axis % rank]
        if step < 1:
            raise UnsupportedError(f"Slice '{node.name}' must step forward; got {step}")
        first, last, _ = slice(start, end).indices(value.shape[place])
        where[0][place], where[1][place], where[2][place] = first, -(-(last - first) // step), step
    made = graph.network.emit("slice", lambda x: kernels.part(x, *where), value, like=value)
    return replace(made, quantisation=value.quantisation)


def _batch_norm(graph: Graph, node: onnx.NodeProto) -> Value:
    gain, shift, mean, variance = (graph.array(node, i).astype(np.float64) for i in range(1, 5))
    factor = gain / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    affine = [array.astype(np.float32) for array in (factor, shift - mean * factor)]
    return graph.network.pointwise("batch_norm", lambda x, a, b: x * a + b, graph.network.image(graph.value(node.input[0])), *affine)


def _same(graph: Graph, node: onnx.NodeProto) -> Value:
    return graph.raw(node.input[0])


OPERATIONS: Mapping[str, Operation] = {
    "Add": _binary(lambda x, y: x + y),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DequantizeLinear": integer.dequantized,
    "Div": _binary(lambda x, y: x / y),
    "Dropout": _same,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(lambda maths, x: x * _gate(maths, x, 1 / 6, 0.5)),
    "Identity": _same,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": _binary(lambda x, y: x * y),
    "QuantizeLinear": integer.quantized,
    "ReduceMean": _reduce_mean,
    "Relu": _unary(lambda maths, x: maths.larger(x, maths.number(0))),
    "Reshape": _reshape,
    "Sigmoid": _unary(lambda maths, x: maths.number(1) / (maths.number(1) + maths.exp(-x))),
    "Slice": _slice,
    "Sub": _binary(lambda x, y: x - y),
    "Transpose": _transpose,
}
