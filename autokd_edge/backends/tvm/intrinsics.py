"""Instructions that sum products of four 8-bit numbers in int32, described to TVM's scheduler.

x86's VNNI multiplies unsigned by signed numbers, Arm's dot product signed by signed ones. TVM has both for
accumulators in memory; ours lie in registers, and x86's come in three widths.
"""

from __future__ import annotations

from typing import Any

from autokd_edge.backends.tvm.processor import Dot

Vendor = Any
_DTYPES = {"vnni": "uint8", "sdot": "int8"}
_X86 = {16: "llvm.x86.avx512.vpdpbusd.512", 8: "llvm.x86.avx512.vpdpbusd.256", 4: "llvm.x86.avx512.vpdpbusd.128"}


def activations_of(dot: Dot) -> str:
    """Return the type of activations that a dot product reads; empty where there is none."""
    return _DTYPES.get(dot, "")


def dot_product(dot: Dot, lanes: int) -> str:
    """Register the instruction for ``lanes`` outputs and return its name."""
    from tvm.s_tir import TensorIntrin

    name = f"autokd_{dot}_{lanes}"
    if TensorIntrin.get(name, allow_missing=True) is None:
        make = _vnni if dot == "vnni" else _sdot
        TensorIntrin.register(name, _description(_DTYPES[dot], lanes), make(lanes))
    return name


def _description(dtype: str, lanes: int) -> Vendor:
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

    return description


def _vnni(lanes: int) -> Vendor:
    from tvm.script import tirx as T

    instruction, bytes_, sums = _X86[lanes], f"int8x{4 * lanes}", f"int32x{lanes}"

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (4,), "uint8", offset_factor=1)  # noqa: N806
        B = T.match_buffer(b, (lanes, 4), "int8", offset_factor=1)  # noqa: N806
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:4], B[0:lanes, 0:4])
            T.writes(C[0:lanes])
            C[T.ramp(T.int32(0), 1, lanes)] = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id(instruction),
                C.vload([0], dtype=sums),
                T.reinterpret(T.broadcast(T.reinterpret(A.vload([0], "uint8x4"), dtype="int32"), lanes), dtype=bytes_),
                B.vload([0, 0], dtype=bytes_),
                dtype=sums,
            )

    return implementation


def _sdot(lanes: int) -> Vendor:
    from tvm.script import tirx as T

    if lanes != 4:
        raise ValueError(f"sdot gives 4 sums; got {lanes} lanes")

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM's script is not typed
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (4,), "int8", offset_factor=1)  # noqa: N806
        B = T.match_buffer(b, (4, 4), "int8", offset_factor=1)  # noqa: N806
        C = T.match_buffer(c, (4,), "int32", offset_factor=1, scope="local")  # noqa: N806
        with T.sblock("root"):
            T.reads(C[0:4], A[0:4], B[0:4, 0:4])
            T.writes(C[0:4])
            C[T.ramp(T.int32(0), 1, 4)] = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id("llvm.aarch64.neon.sdot.v4i32.v16i8"),
                C.vload([0], dtype="int32x4"),
                T.reinterpret(T.broadcast(T.reinterpret(A.vload([0], "int8x4"), dtype="int32"), 4), dtype="int8x16"),
                B.vload([0, 0], dtype="int8x16"),
                dtype="int32x4",
            )

    return implementation
