"""The arithmetic of each operation as TVM tensor expressions; images are NHWC, padding is a step of its own.

Notation: n batch, h and w pixels, c channels, o output channels, u and v the window's rows and columns, k a
reduction. A convolution reads an image that is padded already: then every buffer is in the plan, none inside
a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# The schedule knows these by their names.
DOT_DEPTHWISE, DOT_DENSE = "dot_depthwise", "dot_dense"

Tensor = Any  # te.Tensor
Expression = Any  # a scalar expression of TVM's
Pointwise = Callable[..., Expression]  # of expressions


@dataclass(frozen=True, slots=True, kw_only=True)
class Maths:
    """What scalar functions are written in: expressions of TVM's, or numpy's arrays where a table is made of them."""

    larger: Callable[[Any, Any], Any]
    smaller: Callable[[Any, Any], Any]
    exp: Callable[[Any], Any]
    number: Callable[[float], Any]


def pointwise(function: Pointwise, *tensors: Tensor) -> Tensor:
    """Apply a scalar function; tensors of one dimension are per channel, dimensions of 1 are repeated."""
    from tvm import te

    rank = max(len(t.shape) for t in tensors)
    shapes = [(1,) * (rank - len(t.shape)) + tuple(int(d) for d in t.shape) for t in tensors]
    shape = tuple(max(dims) for dims in zip(*shapes, strict=True))

    def value(*index: Expression) -> Expression:
        read = []
        for tensor, dims in zip(tensors, shapes, strict=True):
            place = [0 if d == 1 and s != 1 else i for i, d, s in zip(index, dims, shape, strict=True)]
            read.append(tensor(*place[rank - len(tensor.shape) :]))
        return function(*read)

    return te.compute(shape, value, name="pointwise")


def summed(numbers: Expression, axes: Sequence[Any], start: Tensor | None, channel: Expression) -> Expression:
    """Sum over axes; begin with the channel's number of ``start`` instead of 0, where that is given."""
    from tvm import te

    if start is None:
        return te.sum(numbers, axis=axes)
    return te.comm_reducer(lambda one, other: one + other, lambda _kind: start[channel])(numbers, axis=axes)


def convolution(
    image: Tensor, weight: Tensor, start: Tensor | None, stride: Sequence[int], dilation: Sequence[int], accumulator: str
) -> Tensor:
    """Convolve a padded image ``(n, h, w, c)`` with ``(u, v, c / groups, o)``; sums begin with ``(o,)`` where it is given."""
    from tvm import te

    n, height, width, channels = map(int, image.shape)
    rows, columns, depth, out = map(int, weight.shape)
    groups = channels // depth
    u, v, k = (te.reduce_axis((0, size), name) for size, name in ((rows, "u"), (columns, "v"), (depth, "k")))
    each = out // groups

    def value(b: Expression, y: Expression, x: Expression, o: Expression) -> Expression:
        channel = k if groups == 1 else (o // each) * depth + k
        pixel = image[b, y * stride[0] + u * dilation[0], x * stride[1] + v * dilation[1], channel]
        return summed(pixel.astype(accumulator) * weight[u, v, k, o].astype(accumulator), [u, v, k], start, o)

    return te.compute((n, *windows((height, width), (rows, columns), stride, dilation), out), value, name="convolution")


def dot_convolution(image: Tensor, weight: Tensor, start: Tensor | None, stride: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """Convolve a padded image of 8-bit numbers, ``c`` a multiple of 4, with ``(u, v, c / 4, o, 4)``: four products a sum."""
    from tvm import te

    n, height, width, _ = map(int, image.shape)
    rows, columns, quads, out, four = map(int, weight.shape)
    u, v, k, j = (te.reduce_axis((0, size), name) for size, name in ((rows, "u"), (columns, "v"), (quads, "k"), (four, "j")))

    def value(b: Expression, y: Expression, x: Expression, o: Expression) -> Expression:
        pixel = image[b, y * stride[0] + u * dilation[0], x * stride[1] + v * dilation[1], k * 4 + j]
        products = pixel.astype("int32") * weight[u, v, k, o, j].astype("int32")
        return summed(products, [u, v, k, j], start, o)

    return te.compute((n, *windows((height, width), (rows, columns), stride, dilation), out), value, name="dot_convolution")


def depthwise(
    image: Tensor, weight: Tensor, start: Tensor | None, stride: Sequence[int], dilation: Sequence[int], accumulator: str
) -> Tensor:
    """Convolve each channel of a padded image ``(n, h, w, c)`` with its own ``(u, v, c)``."""
    from tvm import te

    n, height, width, channels = map(int, image.shape)
    rows, columns, _ = map(int, weight.shape)
    u, v = te.reduce_axis((0, rows), "u"), te.reduce_axis((0, columns), "v")

    def value(b: Expression, y: Expression, x: Expression, c: Expression) -> Expression:
        pixel = image[b, y * stride[0] + u * dilation[0], x * stride[1] + v * dilation[1], c]
        return summed(pixel.astype(accumulator) * weight[u, v, c].astype(accumulator), [u, v], start, c)

    return te.compute((n, *windows((height, width), (rows, columns), stride, dilation), channels), value, name="depthwise")


def dot_depthwise(image: Tensor, weight: Tensor, start: Tensor | None, stride: Sequence[int], dilation: Sequence[int], rows: int) -> Tensor:
    """Convolve each channel of a padded image of 8-bit numbers with its own ``(v, u / rows, c, 4)``: ``rows`` products a sum.

    The last rows of the last quad may be of weights 0; the image has pixels for them.
    """
    from tvm import te

    n, height, width, channels = map(int, image.shape)
    columns, parts, _, _ = map(int, weight.shape)
    v, k, j = (te.reduce_axis((0, size), name) for size, name in ((columns, "v"), (parts, "k"), (rows, "j")))

    def value(b: Expression, y: Expression, x: Expression, c: Expression) -> Expression:
        pixel = image[b, y * stride[0] + k * rows + j, x * stride[1] + v * dilation[1], c]
        products = pixel.astype("int32") * weight[v, k, c, j].astype("int32")
        return summed(products, [v, k, j], start, c)

    size = windows((height, width), (parts * rows, columns), stride, (1, dilation[1]))
    return te.compute((n, *size, channels), value, name=DOT_DEPTHWISE)


def dense(features: Tensor, weight: Tensor, accumulator: str) -> Tensor:
    """Multiply ``(n, k)`` by ``(k, o)``."""
    from tvm import te

    k = te.reduce_axis((0, int(weight.shape[0])), "k")
    return te.compute(
        (int(features.shape[0]), int(weight.shape[1])),
        lambda n, o: te.sum(features[n, k].astype(accumulator) * weight[k, o].astype(accumulator), axis=[k]),
        name="dense",
    )


def dot_dense(features: Tensor, weight: Tensor) -> Tensor:
    """Multiply 8-bit ``(n, k)``, k a multiple of 4, by ``(k / 4, o, 4)``: four products a sum."""
    from tvm import te

    quads, out, four = map(int, weight.shape)
    k, j = te.reduce_axis((0, quads), "k"), te.reduce_axis((0, four), "j")
    return te.compute(
        (int(features.shape[0]), out),
        lambda n, o: te.sum(features[n, k * 4 + j].astype("int32") * weight[k, o, j].astype("int32"), axis=[k, j]),
        name=DOT_DENSE,
    )


def window_sum(image: Tensor, window: Sequence[int], stride: Sequence[int], accumulator: str) -> Tensor:
    """Sum over the windows of a padded image."""
    from tvm import te

    return _over_windows(image, window, stride, lambda value, axes: te.sum(value.astype(accumulator), axis=axes))


def window_max(image: Tensor, window: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Take the largest value of the windows of a padded image."""
    from tvm import te

    return _over_windows(image, window, stride, lambda value, axes: te.max(value, axis=axes))


def padded(image: Tensor, pads: Sequence[tuple[int, int]], value: float) -> Tensor:
    """Put constant borders around a tensor: (before, after) for each dimension."""
    from tvm import te, tirx

    inner = [int(d) for d in image.shape]
    shape = [before + d + after for d, (before, after) in zip(inner, pads, strict=True)]

    def at(*index: Expression) -> Expression:
        inside = [
            condition
            for i, d, (before, after) in zip(index, inner, pads, strict=True)
            for condition, needed in ((i >= before, before), (i < before + d, after))
            if needed
        ]
        place = [i - before for i, (before, _) in zip(index, pads, strict=True)]
        return tirx.if_then_else(tirx.all(*inside), image(*place), tirx.const(value, image.dtype))

    return te.compute(shape, at, name="padded")


def transposed(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Permute dimensions: output dimension i is input dimension ``order[i]``."""
    from tvm import te

    shape = [int(tensor.shape[axis]) for axis in order]
    places = [list(order).index(axis) for axis in range(len(order))]
    return te.compute(shape, lambda *index: tensor(*(index[place] for place in places)), name="transposed")


def reshaped(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Read the same numbers in another shape, in row-major order."""
    from tvm import te

    dims = [int(d) for d in tensor.shape]

    def at(*index: Expression) -> Expression:
        flat = 0
        for i, d in zip(index, shape, strict=True):
            flat = flat * d + i
        return tensor(*((flat // math.prod(dims[axis + 1 :])) % d for axis, d in enumerate(dims)))

    return te.compute(tuple(shape), at, name="reshaped")


def joined(*tensors: Tensor) -> Tensor:
    """Concatenate along the last dimension."""
    from tvm import te, tirx

    sizes = [int(t.shape[-1]) for t in tensors]

    def at(*index: Expression) -> Expression:
        last, start = index[-1], sum(sizes) - sizes[-1]
        value = tensors[-1](*index[:-1], last - start)
        for tensor, size in zip(reversed(tensors[:-1]), reversed(sizes[:-1]), strict=True):
            start -= size
            value = tirx.if_then_else(last < start + size, tensor(*index[:-1], last - start), value)
        return value

    return te.compute((*map(int, tensors[0].shape[:-1]), sum(sizes)), at, name="joined")


def part(tensor: Tensor, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> Tensor:
    """Take a strided box out of a tensor."""
    from tvm import te

    return te.compute(
        tuple(sizes), lambda *index: tensor(*(s + i * step for i, s, step in zip(index, starts, steps, strict=True))), name="part"
    )


def windows(size: Sequence[int], window: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)) -> tuple[int, ...]:
    """Return how many windows fit in each direction of a padded image."""
    return tuple((n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(size, window, stride, dilation, strict=True))


def _over_windows(
    image: Tensor, window: Sequence[int], stride: Sequence[int], reduction: Callable[[Expression, list[Any]], Expression]
) -> Tensor:
    from tvm import te

    n, height, width, channels = map(int, image.shape)
    u, v = te.reduce_axis((0, window[0]), "u"), te.reduce_axis((0, window[1]), "v")
    return te.compute(
        (n, *windows((height, width), window, stride), channels),
        lambda b, y, x, c: reduction(image[b, y * stride[0] + u, x * stride[1] + v, c], [u, v]),
        name="pooling",
    )
