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
# Of a float32 from 2**23 to 2**24 the last bit is worth 1. So the low bits of this one plus a number are the number, rounded;
# and a sum of integers that begins with its bits ends with those of the real sum, as long as that stays in between.
_WHOLE_FROM = 3 * 2**22
_SHORT = 2**15 - 1
_STARTS = 2**13  # that are tried for each channel, half of them below
_EXACT = 2**-9  # quanta that a result may be moved before it is rounded


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
        made = _requantized(graph, value.made_of, inverse, meaning.zero, dtype, alone=graph.is_read_once(node.input[0]))
    else:
        arrays = [np.array([number], np.float32) for number in (inverse, meaning.zero)]
        # What is to be transposed, or repeated for each pixel, is rounded once.
        pattern = None if is_image(value) else OPAQUE
        made = graph.network.pointwise("quantize", lambda x, f, a: narrowed(_nearest(x * f) + a), value, *arrays, pattern=pattern)
    return Value(var=made.var, shape=made.shape, channels_last=made.channels_last, quantisation=meaning)


def _requantized(graph: Graph, made_of: Sums, inverse: np.float64, zero: int, dtype: str, *, alone: bool) -> Value:
    """Round what real numbers were made of: one factor for each term and one addend, the zero point included.

    ``alone`` says that no one else reads these real numbers.
    """
    terms = tuple(replace(term, factor=term.factor * inverse) for term in made_of.terms)
    addend = made_of.addend * inverse + zero
    short = bool(np.max(sum(term.most * np.abs(term.factor) for term in terms) + np.abs(addend)) <= _SHORT)
    if short and alone and len(terms) == 1 and (made := _by_bits(graph, terms[0], addend, dtype)) is not None:
        return made
    narrowed = _rounding(graph.processor, dtype, short=short)

    def rounded(*given: kernels.Expression) -> kernels.Expression:
        total = given[-1]
        for number, factor in zip(given[: len(terms)], given[len(terms) : -1], strict=True):
            total = number.astype("float32") * factor + total
        return narrowed(total)

    arrays = (array.astype(np.float32) for array in (*(term.factor for term in terms), addend))
    return graph.network.pointwise("requantize", rounded, *(term.numbers for term in terms), *arrays)


def _by_bits(graph: Graph, term: Term, addend: Array, dtype: str) -> Value | None:
    """Round sums that begin with the bits of a large number, which makes them real numbers without a conversion.

    With ``_WHOLE_FROM`` as m and a start of m + d, ``(m + d + sum) * f + n`` is to be ``m + sum * factor + addend``, n a whole
    number: then nothing is rounded but the result. Of each channel's d that is taken which asks least of f.
    None where the sums, or the steps of the best start, would be too large.
    """
    if term.begun is None or np.max(term.most) >= 2**22 - _STARTS:
        return None
    shifts = np.arange(-_STARTS // 2, _STARTS // 2)
    near = term.factor.astype(np.float32).astype(np.float64)
    ends = [(_WHOLE_FROM + shifts) * f - a for f, a in zip(near, addend, strict=True)]
    start = _WHOLE_FROM + np.array([shifts[np.argmin(np.abs(end - np.rint(end)))] for end in ends])
    whole = np.rint(start * near - addend)
    factor = ((whole + addend) / start).astype(np.float32)
    # Of larger sums the result is the same end of the 8-bit numbers.
    matters = np.minimum(term.most, (256 + np.abs(addend)) / np.maximum(near, 1e-30))
    moved = np.abs(start * factor.astype(np.float64) - whole - addend) + matters * np.abs(factor - term.factor)
    if np.max(moved) > _EXACT:
        return None
    sums, low_bits = term.begun(start.astype(np.float32).view(np.int32)), _low_bits(dtype)
    arrays = factor, (_WHOLE_FROM - whole).astype(np.float32)
    return graph.network.pointwise("requantize", lambda s, f, n: low_bits(_bits_as("float32", s) * f + n), sums, *arrays)


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


def _rounding(processor: Processor, dtype: str, *, short: bool) -> Narrowing:
    """Return how real float32 numbers become 8-bit ones; ``short`` says that 16 bits hold them, rounded.

    Then Arm rounds by an addition and keeps these bits, instead of rounding, converting and narrowing.
    """
    from tvm import tirx

    if short and processor.is_arm:
        low_bits = _low_bits(dtype)
        return lambda x: low_bits(x + tirx.const(_WHOLE_FROM, "float32"))
    narrowed = _narrowing(processor, dtype)
    return lambda x: narrowed(_nearest(x))


def _low_bits(dtype: str) -> Narrowing:
    """Return how what was added to ``_WHOLE_FROM`` becomes an 8-bit number; 16 bits must hold it."""
    return lambda x: _within(_bits_as("int32", x).astype("int16"), *_LIMITS[dtype], "int16").astype(dtype)


def _bits_as(kind: str, x: kernels.Expression) -> kernels.Expression:
    from tvm import tirx

    return tirx.reinterpret(kind, x)


def _narrowing(processor: Processor, dtype: str) -> Narrowing:
    """Return how whole float32 numbers become 8-bit ones, those beyond the limits the limits themselves.

    Arm's conversions to int32 saturate, and so do its narrowing ones to half the bits, which LLVM makes of these minima
    and maxima; elsewhere what does not fit in int32 would become its lowest number.
    """
    low, high = _LIMITS[dtype]
    if processor.is_arm:
        return lambda x: _within(_within(x.astype("int32"), -(2**15), 2**15 - 1, "int32").astype("int16"), low, high, "int16").astype(dtype)
    return lambda x: _within(x, low, high, "float32").astype("int32").astype(dtype)


def _within(x: kernels.Expression, low: int, high: int, kind: str) -> kernels.Expression:
    from tvm import tirx

    return tirx.min(tirx.max(x, tirx.const(low, kind)), tirx.const(high, kind))


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
    begun = _sums_of(graph, image, weight[0], window)
    return _real(graph, begun(), image, weight, bias, begun=begun)


def _sums_of(graph: Graph, image: Value, whole: Array, window: Window) -> Callable[..., Value]:
    """Return what adds the kernel of a convolution's sums; they begin with an array, if it is given one."""
    dot = image.dtype == activations_of(graph.processor.dot)
    if dot and is_depthwise(whole, window) and whole.shape[0] % 4 == 0 and window.dilation[0] == 1:
        return _dot_depthwise(graph, image, whole[:, 0], window)
    if dot and window.groups == 1 and whole.shape[0] % 4 == 0:
        return _dot_convolution(graph, image, whole, window)
    padded = graph.network.padded(graph.network.image(image), window.pads, _meaning(image).zero)
    if is_depthwise(whole, window):
        widened = whole[:, 0].transpose(1, 2, 0).astype(np.int32)  # few, and widened once
        return _adding(graph, "depthwise_int8", kernels.depthwise, padded, widened, window, "int32")
    return _adding(graph, "conv_int8", kernels.convolution, padded, whole.transpose(2, 3, 1, 0), window, "int32")


def _dot_convolution(graph: Graph, image: Value, weight: Array, window: Window) -> Callable[..., Value]:
    """Sum four products at a time; channels are filled up to a multiple of 4 with weights of 0."""
    channels = weight.shape[1]
    more = -channels % 4
    padded = graph.network.padded(graph.network.image(image), (*window.pads[:3], (0, more)), _meaning(image).zero)
    filled = np.pad(weight, ((0, 0), (0, more), (0, 0), (0, 0)))  # (o, c, u, v)
    out, _, rows, columns = filled.shape
    packed = filled.reshape(out, -1, 4, rows, columns).transpose(3, 4, 1, 0, 2)  # (u, v, c / 4, o, 4)
    return _adding(graph, "dot_int8", kernels.dot_convolution, padded, packed, window)


def _dot_depthwise(graph: Graph, image: Value, weight: Array, window: Window) -> Callable[..., Value]:
    """Sum the products of up to four rows of a window at a time; rows are filled up to whole parts with weights of 0."""
    size = weight.shape[1]  # (c, u, v)
    parts = -(-size // 4)
    rows = -(-size // parts)
    more = parts * rows - size
    (top, bottom), sides = window.pads[1], window.pads[2:]
    padded = graph.network.padded(graph.network.image(image), (window.pads[0], (top, bottom + more), *sides), _meaning(image).zero)
    filled = np.pad(weight, ((0, 0), (0, more), (0, 0)))
    channels, _, columns = filled.shape
    packed = np.zeros((columns, parts, channels, 4), np.int8)
    packed[..., :rows] = filled.reshape(channels, parts, rows, columns).transpose(3, 1, 0, 2)
    return _adding(graph, "depthwise_int8", kernels.dot_depthwise, padded, packed, window, rows)


def _adding(
    graph: Graph, name: str, kernel: Callable[..., kernels.Tensor], padded: Value, packed: Array, window: Window, *more: str | int
) -> Callable[..., Value]:
    def made(x: kernels.Tensor, w: kernels.Tensor, start: kernels.Tensor | None = None) -> kernels.Tensor:
        return kernel(x, w, start, window.stride, window.dilation, *more)

    return lambda *start: graph.network.emit(name, made, padded, packed, *start, pattern=ANCHOR, like=padded)


def dense(graph: Graph, features: Value, weight: Quantised, bias: Array | None) -> Value:
    """Multiply 8-bit features ``(1, k)`` by 8-bit weights, outputs along the scales' axis; real numbers come out."""
    network, (whole, scales, axis) = graph.network, weight
    by_output = whole if axis == 0 else whole.T  # (o, k)
    flat, (outputs, depth) = network.plain(features), by_output.shape
    if features.dtype != activations_of(graph.processor.dot) or depth % 4:
        sums = network.emit("dense_int8", lambda x, w: kernels.dense(x, w, "int32"), flat, by_output.T, pattern=ANCHOR)
        return _real(graph, sums, features, (by_output, scales, 0), bias)
    more = -outputs % 4  # outputs are filled up to a multiple of 4 with weights of 0
    filled = np.pad(by_output, ((0, more), (0, 0)))
    packed = filled.reshape(outputs + more, -1, 4).transpose(1, 0, 2)  # (k / 4, o, 4)
    sums = network.emit("dense_int8", kernels.dot_dense, flat, packed, pattern=ANCHOR)
    if not more:
        return _real(graph, sums, features, (by_output, scales, 0), bias)
    whole_bias = None if bias is None else np.pad(np.broadcast_to(bias, outputs), (0, more))
    real = _real(graph, sums, features, (filled, np.pad(np.broadcast_to(scales, outputs), (0, more)), 0), whole_bias)
    return network.emit("part", lambda x: kernels.part(x, (0, 0), (1, outputs), (1, 1)), real, pattern=OPAQUE)


def mean(graph: Graph, image: Value) -> Value:
    """Average the pixels of each channel; the sum is exact."""
    meaning, size = _meaning(image), (image.shape[1], image.shape[2])
    sums = graph.network.emit("mean_int8", lambda x: kernels.window_sum(x, size, (1, 1), "int32"), image, pattern=ANCHOR, like=image)
    pixels = size[0] * size[1]
    factor = np.array([np.float64(meaning.scale) / pixels])
    most = np.array([_LARGEST[image.dtype] * pixels])
    return _scaled(graph, "mean", Term(numbers=sums, most=most, factor=factor), -meaning.zero * factor * pixels)


def _real(
    graph: Graph, sums: Value, image: Value, weight: Quantised, bias: Array | None, begun: Callable[[Array], Value] | None = None
) -> Value:
    """Turn int32 sums into real numbers: times both scales, plus the bias less the zero point's share; weights are ``(o, ...)``."""
    meaning, outputs = _meaning(image), sums.shape[-1]
    weights = weight[0].reshape(outputs, -1).astype(np.int64)
    taken, most = weights.sum(axis=1), np.abs(weights).sum(axis=1) * _LARGEST[image.dtype]
    factor = np.broadcast_to(np.float64(meaning.scale) * weight[1], outputs)
    addend = (0 if bias is None else np.broadcast_to(bias.astype(np.float64), outputs)) - meaning.zero * taken * factor
    return _scaled(graph, "real", Term(numbers=sums, most=most, factor=factor, begun=begun), addend)


def _scaled(graph: Graph, name: str, term: Term, addend: Array) -> Value:
    arrays = (array.astype(np.float32) for array in (term.factor, addend))
    value = graph.network.pointwise(name, lambda s, f, a: s.astype("float32") * f + a, term.numbers, *arrays)
    return replace(value, made_of=Sums(terms=(term,), addend=addend))


def _meaning(value: Value) -> Quantisation:
    if value.quantisation is None:
        raise UnsupportedError("a layer in integers must read 8-bit numbers")
    return value.quantisation
