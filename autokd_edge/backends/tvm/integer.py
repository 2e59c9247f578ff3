"""Quantised values in integers: convolutions and dense layers that sum products of 8-bit numbers in int32.

Notation: a real number is ``(q - zero) * scale``; weights have zero 0 and a scale for each output. A sum over
``(x - zero) * w`` is the sum over ``x * w`` less ``zero`` times the sum of the weights, a constant of each output,
because borders are padded with ``zero`` itself. Rounding is to the nearest, of ties to the even, as ONNX says.
"""

from __future__ import annotations

import numpy as np
import onnx

from autokd_edge.backends.tvm import kernels
from autokd_edge.backends.tvm.convolution import Window, is_depthwise
from autokd_edge.backends.tvm.importer import Graph, UnsupportedError
from autokd_edge.backends.tvm.intrinsics import activations_of
from autokd_edge.backends.tvm.network import ANCHOR, Array, Quantisation, Value

Quantised = tuple[Array, Array, int]  # integers, scales, the axis of these
_LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}


def fits(graph: Graph, value: Value, weight: str, *, axis: int) -> bool:
    """Say whether a layer runs in integers: 8-bit numbers in, 8-bit weights with one scale, or one for each output."""
    if value.quantisation is None or weight not in graph.integers:
        return False
    _, scales, along = graph.integers[weight]
    return scales.size == 1 or along == axis


def quantized(graph: Graph, node: onnx.NodeProto) -> Value:
    """Round real numbers to 8-bit ones."""
    from tvm import tirx

    value = graph.value(node.input[0])
    scale, zero = np.asarray(graph.array(node, 1)), np.asarray(graph.array(node, 2))
    dtype = str(zero.dtype)
    if scale.size != 1 or dtype not in _LIMITS:
        raise UnsupportedError(f"QuantizeLinear '{node.name}' must have one scale and an 8-bit zero point; got {scale.size} and {dtype}")
    meaning = Quantisation(scale=np.float32(scale.reshape(())), zero=int(zero.reshape(())))
    low, high = _LIMITS[dtype]
    inverse, offset = np.array([1 / np.float64(meaning.scale)], np.float32), np.array([meaning.zero], np.float32)

    def rounded(x: kernels.Expression, by: kernels.Expression, to: kernels.Expression) -> kernels.Expression:
        whole = tirx.nearbyint(x * by) + to
        within = tirx.min(tirx.max(whole, tirx.const(low, "float32")), tirx.const(high, "float32"))
        return within.astype("int32").astype(dtype)

    made = graph.network.pointwise("quantize", rounded, value, inverse, offset)
    return Value(var=made.var, shape=made.shape, channels_last=made.channels_last, quantisation=meaning)


def dequantized(graph: Graph, node: onnx.NodeProto) -> Value:
    """Keep 8-bit numbers as they are: who needs real ones asks for them."""
    value = graph.raw(node.input[0])
    scale, zero = (np.asarray(graph.array(node, i)) for i in (1, 2))
    meaning = Quantisation(scale=np.float32(scale.reshape(-1)[0]), zero=int(zero.reshape(-1)[0]))
    if scale.size != 1 or value.quantisation != meaning:
        raise UnsupportedError(f"DequantizeLinear '{node.name}' must undo the QuantizeLinear before it, with one scale")
    return value


def convolution(graph: Graph, image: Value, weight: Quantised, window: Window, bias: Array | None) -> Value:
    """Convolve 8-bit pixels with 8-bit weights ``(o, c / groups, u, v)``; real numbers come out."""
    network, whole = graph.network, weight[0]
    meaning = _meaning(image)
    if is_depthwise(whole, window):
        padded = network.padded(network.image(image), window.pads, meaning.zero)
        sums = network.emit(
            "depthwise_int8",
            lambda x, w: kernels.depthwise(x, w, window.stride, window.dilation, "int32"),
            padded,
            whole[:, 0].transpose(1, 2, 0).astype(np.int32),  # few, and widened once
            pattern=ANCHOR,
            like=padded,
        )
    elif window.groups == 1 and whole.shape[0] % 4 == 0 and image.dtype == activations_of(graph.processor.dot):
        sums = _dot_convolution(graph, image, whole, window, meaning.zero)
    else:
        padded = network.padded(network.image(image), window.pads, meaning.zero)
        sums = network.emit(
            "conv_int8",
            lambda x, w: kernels.convolution(x, w, window.stride, window.dilation, "int32"),
            padded,
            whole.transpose(2, 3, 1, 0),
            pattern=ANCHOR,
            like=padded,
        )
    return _real(graph, sums, meaning, weight, bias, taken=whole.sum(axis=(1, 2, 3), dtype=np.int64))


def _dot_convolution(graph: Graph, image: Value, weight: Array, window: Window, zero: int) -> Value:
    """Sum four products at a time; channels are filled up to a multiple of 4 with weights of 0."""
    channels = weight.shape[1]
    more = -channels % 4
    padded = graph.network.padded(graph.network.image(image), (*window.pads[:3], (0, more)), zero)
    filled = np.pad(weight, ((0, 0), (0, more), (0, 0), (0, 0)))  # (o, c, u, v)
    out, _, rows, columns = filled.shape
    packed = filled.reshape(out, -1, 4, rows, columns).transpose(3, 4, 1, 0, 2)  # (u, v, c / 4, o, 4)
    return graph.network.emit(
        "dot_int8", lambda x, w: kernels.dot_convolution(x, w, window.stride, window.dilation), padded, packed, pattern=ANCHOR, like=padded
    )


def dense(graph: Graph, features: Value, weight: Quantised, bias: Array | None) -> Value:
    """Multiply 8-bit features ``(1, k)`` by 8-bit weights, outputs along the scales' axis; real numbers come out."""
    whole, _, axis = weight
    by_output = whole.T if axis == 0 else whole  # (k, o)
    sums = graph.network.emit(
        "dense_int8", lambda x, w: kernels.dense(x, w, "int32"), graph.network.plain(features), by_output, pattern=ANCHOR
    )
    return _real(graph, sums, _meaning(features), weight, bias, taken=by_output.sum(axis=0, dtype=np.int64))


def mean(graph: Graph, image: Value) -> Value:
    """Average the pixels of each channel; the sum is exact."""
    meaning, size = _meaning(image), (image.shape[1], image.shape[2])
    sums = graph.network.emit("mean_int8", lambda x: kernels.window_sum(x, size, (1, 1), "int32"), image, pattern=ANCHOR, like=image)
    pixels = size[0] * size[1]
    factor = np.array([np.float64(meaning.scale) / pixels], np.float32)
    addend = np.array([-meaning.zero * np.float64(meaning.scale)], np.float32)
    return graph.network.pointwise("mean", lambda s, f, a: s.astype("float32") * f + a, sums, factor, addend)


def _real(graph: Graph, sums: Value, meaning: Quantisation, weight: Quantised, bias: Array | None, *, taken: Array) -> Value:
    """Turn int32 sums into real numbers: less the zero point's share, times both scales, plus the bias."""
    outputs = sums.shape[-1]
    shift = (-meaning.zero * taken).astype(np.int32)
    factor = np.broadcast_to(np.float64(meaning.scale) * weight[1], outputs).astype(np.float32)
    addend = np.zeros(outputs, np.float32) if bias is None else np.broadcast_to(bias.astype(np.float32), outputs)
    return graph.network.pointwise("requantize", lambda s, t, f, b: (s + t).astype("float32") * f + b, sums, shift, factor, addend)


def _meaning(value: Value) -> Quantisation:
    if value.quantisation is None:
        raise UnsupportedError("a layer in integers must read 8-bit numbers")
    return value.quantisation
