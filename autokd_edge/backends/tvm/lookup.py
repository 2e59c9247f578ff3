"""Tables of 256 numbers: what any function makes of 8-bit numbers, read by Arm's look-up instruction sixteen at a time.

A table of 256 bytes fills sixteen vector registers. The instruction looks in four of them, and leaves alone what lies
beyond them, so that four instructions and three subtractions are sixteen results. A table holds the exact numbers: each
entry is rounded as the function of one number would be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autokd_edge.backends.tvm.processor import Processor

Vendor = Any
BLOCK = "lookup"  # the schedule knows it by this name
LANES = 16
_QUARTER = 64  # bytes that one instruction looks in


def looks_up(processor: Processor, numbers: int) -> bool:
    """Say whether a processor looks up so many numbers in tables."""
    return processor.is_arm and numbers >= LANES


def numbers_of(dtype: str) -> npt.NDArray[Any]:
    """Return all 8-bit numbers in the order of a table: that of their bytes."""
    return np.arange(256, dtype=np.uint8).view(dtype)


def kernel(count: int, source: str, made: str) -> Vendor:
    """Return the TIR function that looks up ``count`` numbers, at least 16; the last sixteen may be looked up twice."""
    from tvm.script import tirx as T

    def found(numbers: Vendor, table: Vendor, place: Vendor) -> Vendor:
        byte = f"int8x{LANES}"
        index = T.reinterpret(numbers.vload([place], dtype=f"{source}x{LANES}"), dtype=byte)
        parts = [T.reinterpret(table.vload([at], dtype=f"{made}x{LANES}"), dtype=byte) for at in range(0, 256, LANES)]
        value = T.broadcast(T.Cast("int8", T.int32(0)), LANES)
        for quarter in range(4):
            beyond = index - T.broadcast(T.Cast("int8", T.int32((_QUARTER * quarter + 128) % 256 - 128)), LANES)
            value = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id("llvm.aarch64.neon.tbx4.v16i8"), value, *parts[4 * quarter : 4 * quarter + 4], beyond, dtype=byte
            )
        return T.reinterpret(value, dtype=f"{made}x{LANES}")

    turns = -(-count // LANES)

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def function(a: T.handle, t: T.handle, o: T.handle) -> None:
        T.func_attr({"tir.noalias": True})
        A = T.match_buffer(a, (count,), source)  # noqa: N806
        B = T.match_buffer(t, (256,), made)  # noqa: N806
        C = T.match_buffer(o, (count,), made)  # noqa: N806
        for i in T.serial(0, turns):
            with T.sblock(BLOCK):
                vi = T.axis.spatial(turns, i)
                T.reads(A[0:count], B[0:256])
                T.writes(C[0:count])
                C[T.ramp(T.min(vi * LANES, count - LANES), 1, LANES)] = found(A, B, T.min(vi * LANES, count - LANES))

    return function
