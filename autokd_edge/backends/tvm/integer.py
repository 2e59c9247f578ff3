"""Quantised values in integers: convolutions and dense layers that sum products of 8-bit numbers in int32.

Notation: a real number is ``(q - zero) * scale``; weights have zero 0 and a scale for each output. A sum over
``(x - zero) * w`` is the sum over ``x * w`` less ``zero`` times the sum of the weights, a constant of each output,
because borders are padded with ``zero`` itself. Rounding is to the nearest, of ties to the even, as ONNX says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from autokd_edge.backends.tvm import kernels
from autokd_edge.backends.tvm.convolution import Window, is_depthwise
from autokd_edge.backends.tvm.importer import Graph, UnsupportedError
from autokd_edge.backends.tvm.intrinsics import activations_of
from autokd_edge.backends.tvm.lookup import looks_up
from autokd_edge.backends.tvm.network import ANCHOR, OPAQUE, Array, Quantisation, Sums, Table, Term, Value, is_image
from autokd_edge.backends.tvm.processor import Processor

Quantised = tuple[Array, Array, int]  # integers, scales, the axis of these
Narrowing = Callable[[kernels.Expression], kernels.Expression]
_LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}
_LARGEST = {"uint8": 255, "int8": 128}  # magnitudes
# Of so large a float32 the last bit is worth 1, and the low bits are those of what was added to it, rounded.
_WHOLE_FROM = 1.5 * 2**23


def fits(graph: Graph, value: Value, weight: str, *, axis: int) -> bool:
    """Say whether a layer runs in integers: 8-bit numbers in, 8-bit weights with one scale, or one for each output."""
    if value.quantisation is None or weight not in graph.integers:
        return False
    _, scales, along = graph.integers[weight]
    return scales.size == 1 or along == axis


def quantized(graph: Graph, node: onnx.NodeProto) -> Value:
    """Round real numbers to 8-bit ones."""
    value = graph.raw(node.input[0])
    scale, zero = np.asarray(graph.array(node, 1)), np.asarray(graph.array(node, 2))
    dtype = str(zero.dtype)
    if scale.size != 1 or dtype not in _LIMITS:
        raise UnsupportedError(f"QuantizeLinear '{node.name}' must have one scale and an 8-bit zero point; got {scale.size} and {dtype}")
    meaning = Quantisation(scale=np.float32(scale.reshape(())), zero=int(zero.reshape(())))
    if value.quantisation == meaning and value.dtype == dtype:
        return value  # these very numbers, dequantised and quantised again
    if value.table is not None and looks_up(graph.processor, math.prod(value.shape)):
        return _looked_up(graph, value.table, meaning, dtype)
    value, narrowed = graph.network.real(value), _narrowing(graph.processor, dtype)
    inverse = 1 / np.float64(meaning.scale)
    if value.made_of is not None:
        made = _requantized(graph, value.made_of, inverse, meaning.zero, dtype)
    else:
        arrays = [np.array([number], np.float32) for number in (inverse, meaning.zero)]
        # What is to be transposed, or repeated for each pixel, is rounded once.
        pattern = None if is_image(value) else OPAQUE
        made = graph.network.pointwise("quantize", lambda x, f, a: narrowed(_nearest(x * f) + a), value, *arrays, pattern=pattern)
    return Value(var=made.var, shape=made.shape, channels_last=made.channels_last, quantisation=meaning)


def _requantized(graph: Graph, made_of: Sums, inverse: np.float64, zero: int, dtype: str) -> Value:
    """Round what real numbers were made of: one factor for each term and one addend, the zero point included."""
    factors, addend = [term.factor * inverse for term in made_of.terms], made_of.addend * inverse + zero
    largest = sum(term.most * np.abs(factor) for term, factor in zip(made_of.terms, factors, strict=True)) + np.abs(addend)
    narrowed = _rounding(graph.processor, dtype, float(np.max(largest)))

    def rounded(*given: kernels.Expression) -> kernels.Expression:
        total = given[-1]
        for number, factor in zip(given[: len(factors)], given[len(factors) : -1], strict=True):
            total = number.astype("float32") * factor + total
        return narrowed(total)

    numbers = (term.numbers for term in made_of.terms)
    return graph.network.pointwise("requantize", rounded, *numbers, *(array.astype(np.float32) for array in (*factors, addend)))


def added(left: Value, right: Value) -> Sums | None:
    """Return what the sum of two tensors of one shape is made of, where both are known."""
    if left.made_of is None or right.made_of is None or left.shape != right.shape:
        return None
    return Sums(terms=left.made_of.terms + right.made_of.terms, addend=left.made_of.addend + right.made_of.addend)


def _looked_up(graph: Graph, table: Table, meaning: Quantisation, dtype: str) -> Value:
    """Round each of the 256 real numbers that there can be, and look them up."""
    whole = np.clip(np.rint(table.reals / meaning.scale) + np.float32(meaning.zero), *_LIMITS[dtype])
    made = graph.network.looked_up(table.source, whole.astype(dtype))
    reals = (whole - np.float32(meaning.zero)) * meaning.scale
    return replace(made, quantisation=meaning, table=Table(source=table.source, reals=reals))


def _rounding(processor: Processor, dtype: str, largest: float) -> Narrowing:
    """Return how real float32 numbers of at most this magnitude become 8-bit ones.

    Where 16 bits hold them, Arm rounds by an addition and keeps these bits, instead of rounding, converting and narrowing.
    """
    from tvm import tirx

    low, high = _LIMITS[dtype]
    if not _is_arm(processor) or largest > 2**15 - 1:
        narrowed = _narrowing(processor, dtype)
        return lambda x: narrowed(_nearest(x))

    def rounded(x: kernels.Expression) -> kernels.Expression:
        bits = tirx.reinterpret("int32", x + tirx.const(_WHOLE_FROM, "float32"))
        return _within(bits.astype("int16"), low, high, "int16").astype(dtype)

    return rounded


def _narrowing(processor: Processor, dtype: str) -> Narrowing:
    """Return how whole float32 numbers become 8-bit ones, those beyond the limits the limits themselves.

    Arm's conversions to int32 saturate, and so do its narrowing ones to half the bits, which LLVM makes of these minima
    and maxima; elsewhere what does not fit in int32 would become its lowest number.
    """
    low, high = _LIMITS[dtype]
    if _is_arm(processor):
        return lambda x: _within(_within(x.astype("int32"), -(2**15), 2**15 - 1, "int32").astype("int16"), low, high, "int16").astype(dtype)
    return lambda x: _within(x, low, high, "float32").astype("int32").astype(dtype)


def _within(x: kernels.Expression, low: int, high: int, kind: str) -> kernels.Expression:
    from tvm import tirx

    return tirx.min(tirx.max(x, tirx.const(low, kind)), tirx.const(high, kind))


def _is_arm(processor: Processor) -> bool:
    return processor.triple.startswith("aarch64")


def _nearest(x: kernels.Expression) -> kernels.Expression:
    """Round to the nearest, as an instruction of LLVM's: TVM makes no vectors of its own ``nearbyint``."""
    from tvm import tirx

    return tirx.call_llvm_pure_intrin("float32", "llvm.nearbyint", x)


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
    dot = image.dtype == activations_of(graph.processor.dot)
    if dot and is_depthwise(whole, window) and whole.shape[0] % 4 == 0 and window.dilation[0] == 1:
        sums = _dot_depthwise(graph, image, whole[:, 0], window, meaning.zero)
    elif is_depthwise(whole, window):
        padded = network.padded(network.image(image), window.pads, meaning.zero)
        sums = network.emit(
            "depthwise_int8",
            lambda x, w: kernels.depthwise(x, w, window.stride, window.dilation, "int32"),
            padded,
            whole[:, 0].transpose(1, 2, 0).astype(np.int32),  # few, and widened once
            pattern=ANCHOR,
            like=padded,
        )
    elif window.groups == 1 and whole.shape[0] % 4 == 0 and dot:
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
    return _real(graph, sums, meaning, weight, bias)


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


def _dot_depthwise(graph: Graph, image: Value, weight: Array, window: Window, zero: int) -> Value:
    """Sum the products of up to four rows of a window at a time; rows are filled up to whole parts with weights of 0."""
    size = weight.shape[1]  # (c, u, v)
    parts = -(-size // 4)
    rows = -(-size // parts)
    more = parts * rows - size
    (top, bottom), sides = window.pads[1], window.pads[2:]
    padded = graph.network.padded(graph.network.image(image), (window.pads[0], (top, bottom + more), *sides), zero)
    filled = np.pad(weight, ((0, 0), (0, more), (0, 0)))
    channels, _, columns = filled.shape
    packed = np.zeros((columns, parts, channels, 4), np.int8)
    packed[..., :rows] = filled.reshape(channels, parts, rows, columns).transpose(3, 1, 0, 2)
    return graph.network.emit(
        "depthwise_int8",
        lambda x, w: kernels.dot_depthwise(x, w, window.stride, window.dilation, rows),
        padded,
        packed,
        pattern=ANCHOR,
        like=padded,
    )


def dense(graph: Graph, features: Value, weight: Quantised, bias: Array | None) -> Value:
    """Multiply 8-bit features ``(1, k)`` by 8-bit weights, outputs along the scales' axis; real numbers come out."""
    network, (whole, scales, axis), meaning = graph.network, weight, _meaning(features)
    by_output = whole if axis == 0 else whole.T  # (o, k)
    flat, (outputs, depth) = network.plain(features), by_output.shape
    if features.dtype != activations_of(graph.processor.dot) or depth % 4:
        sums = network.emit("dense_int8", lambda x, w: kernels.dense(x, w, "int32"), flat, by_output.T, pattern=ANCHOR)
        return _real(graph, sums, meaning, (by_output, scales, 0), bias)
    more = -outputs % 4  # outputs are filled up to a multiple of 4 with weights of 0
    filled = np.pad(by_output, ((0, more), (0, 0)))
    packed = filled.reshape(outputs + more, -1, 4).transpose(1, 0, 2)  # (k / 4, o, 4)
    sums = network.emit("dense_int8", kernels.dot_dense, flat, packed, pattern=ANCHOR)
    if not more:
        return _real(graph, sums, meaning, (by_output, scales, 0), bias)
    whole_bias = None if bias is None else np.pad(np.broadcast_to(bias, outputs), (0, more))
    real = _real(graph, sums, meaning, (filled, np.pad(np.broadcast_to(scales, outputs), (0, more)), 0), whole_bias)
    return network.emit("part", lambda x: kernels.part(x, (0, 0), (1, outputs), (1, 1)), real, pattern=OPAQUE)


def mean(graph: Graph, image: Value) -> Value:
    """Average the pixels of each channel; the sum is exact."""
    meaning, size = _meaning(image), (image.shape[1], image.shape[2])
    sums = graph.network.emit("mean_int8", lambda x: kernels.window_sum(x, size, (1, 1), "int32"), image, pattern=ANCHOR, like=image)
    pixels = size[0] * size[1]
    factor = np.array([np.float64(meaning.scale) / pixels])
    most = np.array([_LARGEST[image.dtype] * pixels])
    return _scaled(graph, "mean", Term(numbers=sums, most=most, factor=factor), -meaning.zero * factor * pixels)


def _real(graph: Graph, sums: Value, meaning: Quantisation, weight: Quantised, bias: Array | None) -> Value:
    """Turn int32 sums into real numbers: times both scales, plus the bias less the zero point's share; weights are ``(o, ...)``."""
    outputs = sums.shape[-1]
    weights = weight[0].reshape(outputs, -1).astype(np.int64)
    taken, most = weights.sum(axis=1), np.abs(weights).sum(axis=1) * max(_LARGEST.values())
    factor = np.broadcast_to(np.float64(meaning.scale) * weight[1], outputs)
    addend = (0 if bias is None else np.broadcast_to(bias.astype(np.float64), outputs)) - meaning.zero * taken * factor
    return _scaled(graph, "real", Term(numbers=sums, most=most, factor=factor), addend)


def _scaled(graph: Graph, name: str, term: Term, addend: Array) -> Value:
    arrays = (array.astype(np.float32) for array in (term.factor, addend))
    value = graph.network.pointwise(name, lambda s, f, a: s.astype("float32") * f + a, term.numbers, *arrays)
    return replace(value, made_of=Sums(terms=(term,), addend=addend))


def _meaning(value: Value) -> Quantisation:
    if value.quantisation is None:
        raise UnsupportedError("a layer in integers must read 8-bit numbers")
    return value.quantisation
