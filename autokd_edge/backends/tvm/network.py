"""A Relax function under construction: values with their layout, and the conversions between layouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autokd_edge.backends.tvm import kernels, lookup

Vendor = Any  # TVM's objects, which have no types
Array = npt.NDArray[Any]

_NUMPY = kernels.Maths(larger=np.maximum, smaller=np.minimum, exp=np.exp, number=np.float32)
# TVM's OpPatternKind of an operation that takes pointwise operations behind it into its own loop.
ANCHOR = 4
OPAQUE = 8  # and of one that is a kernel of its own
# In the names of kernels that sum integers.
INTEGER = "_int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """What 8-bit numbers stand for: ``(q - zero) * scale``."""

    scale: np.float32
    zero: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Integers of a magnitude of at most ``most``, times a factor; both are (1,) or one for each channel.

    ``begun`` makes the integers again, with sums that begin with an int32 of each channel, where they are sums.
    """

    numbers: Value
    most: Array
    factor: Array
    begun: Callable[[Array], Value] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What real numbers were made of: terms and an addend, which is (1,) or one for each channel."""

    terms: tuple[Term, ...]
    addend: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What numbers stand for that are a function of 8-bit ones: a real number for each of 256, by ``lookup.numbers_of``."""

    source: Value
    reals: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor: its variable, its shape as it lies in memory, and what it means."""

    var: Vendor
    shape: tuple[int, ...]
    channels_last: bool = False  # an image as (n, h, w, c) where ONNX says (n, c, h, w)
    quantisation: Quantisation | None = None
    # Whoever quantises these real numbers again takes what they were made of instead.
    made_of: Sums | None = None
    table: Table | None = None

    @property
    def dtype(self) -> str:
        """Type of the numbers, in numpy's words."""
        return str(self.var.ty.dtype.dtype)


class Network:
    """Collects the kernels of one network, each as a call of a TIR function; real numbers are of type ``dtype``."""

    def __init__(self, builder: Vendor, dtype: str) -> None:
        self._builder = builder
        self.dtype = dtype

    def emit(
        self, name: str, function: Callable[..., Any], *arguments: Value | Array, pattern: int | None = None, like: Value | None = None
    ) -> Value:
        """Add one kernel; ``like`` gives the layout of what it makes."""
        from tvm import relax

        passed = [a.var if isinstance(a, Value) else relax.const(self._constant(a)) for a in arguments]
        more = {} if pattern is None else {"primfunc_attrs": {"op_pattern": pattern}}
        var = self._builder.emit_te(function, *passed, primfunc_name_hint=name, **more)
        shape = tuple(int(d) for d in var.ty.shape)
        return Value(var=var, shape=shape, channels_last=like is not None and like.channels_last and len(shape) == 4)

    def pointwise(self, name: str, function: kernels.Pointwise, first: Value, *others: Value | Array, pattern: int | None = None) -> Value:
        """Apply a scalar function; arrays are scalars ``(1,)``, per channel, or of the first value's own layout."""
        return self.emit(name, lambda *tensors: kernels.pointwise(function, *tensors), first, *others, pattern=pattern, like=first)

    def applied(self, name: str, function: Callable[..., Vendor], first: Value, *others: Value | Array) -> Value:
        """Apply a scalar function of ``Maths`` and numbers, and remember what it makes of each 8-bit number where it reads one."""
        from tvm import tirx

        maths = kernels.Maths(larger=tirx.max, smaller=tirx.min, exp=tirx.exp, number=self.number)
        made = self.pointwise(name, lambda *numbers: function(maths, *numbers), first, *others)
        if first.table is None:
            return made
        reals = [_reals(first.table.source, operand) for operand in (first, *others)]
        if any(operand is None for operand in reals):
            return made
        with np.errstate(all="ignore"):  # what is infinite in between is so in the kernel too
            return replace(made, table=Table(source=first.table.source, reals=function(_NUMPY, *reals)))

    def looked_up(self, source: Value, table: Array) -> Value:
        """Add one kernel that looks 8-bit numbers up in a table, ``lookup.numbers_of`` of their type in its order."""
        from tvm import relax

        made = lookup.kernel(math.prod(source.shape), source.dtype, str(table.dtype)).with_attr("op_pattern", OPAQUE)
        call = relax.call_tir(
            self._builder.add_func(made, "lookup"), [source.var, relax.const(table)], relax.TensorType(source.shape, str(table.dtype))
        )
        return Value(var=self._builder.emit(call), shape=source.shape, channels_last=source.channels_last)

    def number(self, value: float) -> Vendor:
        """Return a constant real number."""
        from tvm import tirx

        return tirx.const(value, self.dtype)

    def cast(self, value: Value, dtype: str) -> Value:
        """Convert real numbers."""
        return value if value.dtype == dtype else self.pointwise("cast", lambda x: x.astype(dtype), value)

    def _constant(self, array: Array) -> Array:
        return np.ascontiguousarray(array.astype(self.dtype) if array.dtype == np.float32 else array)

    def image(self, value: Value) -> Value:
        """Return an image as NHWC."""
        if value.channels_last or len(value.shape) != 4:
            return value
        made = self._reordered(value, (0, 2, 3, 1), "to_nhwc")
        return replace(made, channels_last=True, quantisation=value.quantisation)

    def plain(self, value: Value) -> Value:
        """Return a tensor in the order that ONNX gives its dimensions."""
        if not value.channels_last:
            return value
        return replace(self._reordered(value, (0, 3, 1, 2), "to_nchw"), quantisation=value.quantisation)

    def real(self, value: Value) -> Value:
        """Return the real numbers that a value stands for."""
        meaning = value.quantisation
        if meaning is None:
            return value
        # The numbers are arguments, not part of the code: kernels that differ in them alone are one kernel.
        zero, scale = np.array([meaning.zero], np.float32), np.array([meaning.scale], np.float32)
        pattern = None if is_image(value) else OPAQUE  # what is transposed, or repeated for each pixel, is computed once
        made = self.pointwise("dequantize", lambda q, z, s: (q.astype("float32") - z) * s, value, zero, scale, pattern=pattern)
        numbers = lookup.numbers_of(value.dtype).astype(np.float32)
        factor = scale.astype(np.float64)
        made_of = Sums(terms=(Term(numbers=value, most=np.abs(numbers).max(keepdims=True), factor=factor),), addend=-zero * factor)
        return replace(made, made_of=made_of, table=value.table or Table(source=value, reals=(numbers - zero) * scale))

    def padded(self, value: Value, pads: Sequence[tuple[int, int]], number: float) -> Value:
        """Put borders around a value where there are any."""
        if not any(map(any, pads)):
            return value
        made = self.emit("pad", lambda tensor: kernels.padded(tensor, pads, number), value, like=value)
        return replace(made, quantisation=value.quantisation)

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """Give a plain tensor another shape."""
        source = value if _pixels(value) == 1 else self.plain(value)
        if source.shape == tuple(shape):
            return replace(source, channels_last=False, made_of=None, table=None)
        made = self.emit("reshape", lambda tensor: kernels.reshaped(tensor, shape), source)
        return replace(made, quantisation=value.quantisation)

    def _reordered(self, value: Value, order: Sequence[int], name: str) -> Value:
        shape = tuple(value.shape[axis] for axis in order)
        if _pixels(value) == 1 or 1 in {value.shape[1], value.shape[3]}:
            # One channel or one pixel: the numbers lie in the same order.
            same = [d for d in value.shape if d != 1] == [d for d in shape if d != 1]
            if same:
                return self.emit(name, lambda tensor: kernels.reshaped(tensor, shape), value)
        return self.emit(name, lambda tensor: kernels.transposed(tensor, order), value)


def _reals(source: Value, operand: Value | Array) -> Array | None:
    """Return what an operand is for each number of a source, or the one number that it is; None for any other."""
    if isinstance(operand, Value):
        return operand.table.reals if operand.table is not None and operand.table.source is source else None
    return operand if operand.size == 1 else None


def is_image(value: Value) -> bool:
    """Say whether a value has several pixels, as NHWC."""
    return value.channels_last and _pixels(value) > 1


def _pixels(value: Value) -> int:
    """Count the pixels of an image; 0 for what is none."""
    if len(value.shape) != 4:
        return 0
    return value.shape[1] * value.shape[2] if value.channels_last else value.shape[2] * value.shape[3]
