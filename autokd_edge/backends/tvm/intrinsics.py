"""Instructions that sum products of four 8-bit numbers in int32, described to TVM's scheduler.

x86's VNNI multiplies unsigned by signed numbers, Arm's dot product signed by signed ones. TVM has both for
accumulators in memory; ours lie in registers, and x86's come in three widths.

A convolution multiplies four channels of one pixel by the weights of each output. A depthwise one sums over the rows
of its window instead: up to four pixels below each other, whose channels are interleaved in registers first. Pixels and
window move along a row together, so that LLVM interleaves each column of pixels once for all that read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from autokd_edge.backends.tvm.processor import Dot

Vendor = Any
_QUADS: Mapping[Dot, int] = {"vnni": 1, "sdot": 4, "": 1}
_DTYPES = {"vnni": "uint8", "sdot": "int8"}
_X86 = {16: "llvm.x86.avx512.vpdpbusd.512", 8: "llvm.x86.avx512.vpdpbusd.256", 4: "llvm.x86.avx512.vpdpbusd.128"}


def activations_of(dot: Dot) -> str:
    """Return the type of activations that a dot product reads; empty where there is none."""
    return _DTYPES.get(dot, "")


def quads_of(dot: Dot, depth: int) -> int:
    """Return how many of the quads of a sum are taken at once: Arm's instruction reads one of the four in a register."""
    return math.gcd(depth, _QUADS[dot])


def dot_product(dot: Dot, lanes: int, quads: int) -> str:
    """Register the instructions for ``lanes`` outputs and some quads, and return their name."""
    from tvm.s_tir import TensorIntrin

    name = f"autokd_{dot}_{lanes}x{quads}"
    if TensorIntrin.get(name, allow_missing=True) is None:
        TensorIntrin.register(name, *(_vnni(lanes) if dot == "vnni" else _sdot(lanes, quads)))
    return name


def column_product(dot: Dot, lanes: int, rows: int) -> str:
    """Register the instructions that sum ``rows`` pixels of a column, 4 at most, for ``lanes`` channels each; return their name."""
    from tvm.s_tir import TensorIntrin

    name = f"autokd_{dot}_column_{rows}x{lanes}"
    if TensorIntrin.get(name, allow_missing=True) is None:
        sums = _vnni_column if dot == "vnni" else _sdot_column
        TensorIntrin.register(name, *_column(_DTYPES[dot], lanes, rows, sums))
    return name


def _column(dtype: str, lanes: int, rows: int, sums: Callable[[list[Vendor], Vendor, Vendor, int], Vendor]) -> tuple[Vendor, Vendor]:
    from tvm.script import tirx as T

    def summed(a: Vendor, b: Vendor, c: Vendor) -> Vendor:
        pixels = [a.vload([row, 0, 0], dtype=f"{dtype}x{lanes}") for row in range(rows)]
        none = T.broadcast(T.Cast(dtype, T.int32(0)), lanes)
        return sums([*pixels, *[none] * (4 - rows)], b, c, lanes)

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        row = T.int32()
        pixel = T.int32()
        A = T.match_buffer(a, (rows, 1, lanes), dtype, offset_factor=1, strides=[row, pixel, 1])  # noqa: N806
        B = T.match_buffer(b, (lanes, rows), "int8", offset_factor=1, strides=[4, 1])  # noqa: N806
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:rows, 0, 0:lanes], B[0:lanes, 0:rows])
            T.writes(C[0:lanes])
            for i in T.serial(0, lanes):
                for j in T.serial(0, rows):
                    with T.sblock("update"):
                        vi, vj = T.axis.remap("SR", [i, j])
                        C[vi] = C[vi] + T.cast(A[vj, 0, vi], "int32") * T.cast(B[vi, vj], "int32")

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        row = T.int32()
        pixel = T.int32()
        A = T.match_buffer(a, (rows, 1, lanes), dtype, offset_factor=1, strides=[row, pixel, 1])  # noqa: N806
        B = T.match_buffer(b, (lanes, rows), "int8", offset_factor=1, strides=[4, 1])  # noqa: N806
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:rows, 0, 0:lanes], B[0:lanes, 0:rows])
            T.writes(C[0:lanes])
            C[T.ramp(T.int32(0), 1, lanes)] = summed(A, B, C)

    return description, implementation


def _vnni_column(pixels: list[Vendor], b: Vendor, c: Vendor, lanes: int) -> Vendor:
    """Put the bytes of four pixels behind each other by widening and shifting: shuffles do not cross the parts of a wide vector."""
    from tvm.script import tirx as T

    wide = [T.Cast(f"uint32x{lanes}", pixel) for pixel in pixels]
    quads = wide[0]
    for place in range(1, 4):
        quads = quads | (wide[place] << T.broadcast(T.uint32(8 * place), lanes))
    return T.call_llvm_pure_intrin(
        T.llvm_lookup_intrinsic_id(_X86[lanes]),
        c.vload([0], dtype=f"int32x{lanes}"),
        T.reinterpret(quads, dtype=f"int8x{4 * lanes}"),
        b.vload([0, 0], dtype=f"int8x{4 * lanes}"),
        dtype=f"int32x{lanes}",
    )


def _sdot_column(pixels: list[Vendor], b: Vendor, c: Vendor, lanes: int) -> Vendor:
    """Interleave the bytes of four pixels in two steps, as Arm's zip does."""
    from tvm.script import tirx as T

    def zipped(one: Vendor, other: Vendor, width: int) -> Vendor:
        return T.Shuffle([one, other], [place for i in range(width) for place in (i, i + width)])

    first, second, third, fourth = pixels
    halves = [T.reinterpret(zipped(*pair, lanes), dtype=f"int16x{lanes}") for pair in ((first, second), (third, fourth))]
    quads = T.reinterpret(zipped(halves[0], halves[1], lanes), dtype=f"int8x{4 * lanes}")
    sums = [
        T.call_llvm_pure_intrin(
            T.llvm_lookup_intrinsic_id("llvm.aarch64.neon.sdot.v4i32.v16i8"),
            c.vload([channel], dtype="int32x4"),
            T.Shuffle([quads], list(range(4 * channel, 4 * channel + 16))),
            b.vload([channel, 0], dtype="int8x16"),
            dtype="int32x4",
        )
        for channel in range(0, lanes, 4)
    ]
    return sums[0] if len(sums) == 1 else T.Shuffle(sums, list(range(lanes)))


def _vnni(lanes: int) -> tuple[Vendor, Vendor]:
    def summed(a: Vendor, b: Vendor, c: Vendor) -> Vendor:
        from tvm.script import tirx as T

        return T.call_llvm_pure_intrin(
            T.llvm_lookup_intrinsic_id(_X86[lanes]),
            c.vload([0], dtype=f"int32x{lanes}"),
            T.reinterpret(T.broadcast(T.reinterpret(a.vload([0], "uint8x4"), dtype="int32"), lanes), dtype=f"int8x{4 * lanes}"),
            b.vload([0, 0], dtype=f"int8x{4 * lanes}"),
            dtype=f"int32x{lanes}",
        )

    return _quad("uint8", lanes, summed)


def _sdot(lanes: int, quads: int) -> tuple[Vendor, Vendor]:
    if lanes != 4:
        raise ValueError(f"sdot gives 4 sums; got {lanes} lanes")

    def summed(a: Vendor, b: Vendor, c: Vendor) -> Vendor:
        from tvm.script import tirx as T

        pixels = T.reinterpret(a.vload([0], f"int8x{4 * quads}"), dtype="int32" if quads == 1 else f"int32x{quads}")
        value = c.vload([0], dtype="int32x4")
        for quad in range(quads):
            pixel = pixels if quads == 1 else T.Shuffle([pixels], [quad])
            value = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id("llvm.aarch64.neon.sdot.v4i32.v16i8"),
                value,
                b.vload([0, 0] if quads == 1 else [quad, 0, 0], dtype="int8x16"),
                T.reinterpret(T.broadcast(pixel, 4), dtype="int8x16"),  # where the instruction has it: one quad of four
                dtype="int32x4",
            )
        return value

    return _quad("int8", lanes, summed) if quads == 1 else _quads("int8", lanes, quads, summed)


def _quad(dtype: str, lanes: int, summed: Callable[[Vendor, Vendor, Vendor], Vendor]) -> tuple[Vendor, Vendor]:
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (4,), dtype, offset_factor=1)  # noqa: N806
        B = T.match_buffer(b, (lanes, 4), "int8", offset_factor=1)  # noqa: N806
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:4], B[0:lanes, 0:4])
            T.writes(C[0:lanes])
            for i in T.serial(0, lanes):
                for k in T.serial(0, 4):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        C[vi] = C[vi] + T.cast(A[vk], "int32") * T.cast(B[vi, vk], "int32")

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (4,), dtype, offset_factor=1)  # noqa: N806
        B = T.match_buffer(b, (lanes, 4), "int8", offset_factor=1)  # noqa: N806
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:4], B[0:lanes, 0:4])
            T.writes(C[0:lanes])
            C[T.ramp(T.int32(0), 1, lanes)] = summed(A, B, C)

    return description, implementation


def _quads(dtype: str, lanes: int, quads: int, summed: Callable[[Vendor, Vendor, Vendor], Vendor]) -> tuple[Vendor, Vendor]:
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        quad = T.int32()
        A = T.match_buffer(a, (4 * quads,), dtype, offset_factor=1)  # noqa: N806
        B = T.match_buffer(b, (quads, lanes, 4), "int8", offset_factor=1, strides=[quad, 4, 1])  # noqa: N806
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0 : 4 * quads], B[0:quads, 0:lanes, 0:4])
            T.writes(C[0:lanes])
            for i in T.serial(0, lanes):
                for q in T.serial(0, quads):
                    for k in T.serial(0, 4):
                        with T.sblock("update"):
                            vi, vq, vk = T.axis.remap("SRR", [i, q, k])
                            C[vi] = C[vi] + T.cast(A[vq * 4 + vk], "int32") * T.cast(B[vq, vi, vk], "int32")

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        quad = T.int32()
        A = T.match_buffer(a, (4 * quads,), dtype, offset_factor=1)  # noqa: N806
        B = T.match_buffer(b, (quads, lanes, 4), "int8", offset_factor=1, strides=[quad, 4, 1])  # noqa: N806
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0 : 4 * quads], B[0:quads, 0:lanes, 0:4])
            T.writes(C[0:lanes])
            C[T.ramp(T.int32(0), 1, lanes)] = summed(A, B, C)

    return description, implementation
