"""From scheduled TIR functions to an object file of plain C functions.

TVM's own last step wraps each kernel in a function that checks its arguments at run time, which is more than
half of a small student's code and of its compile time. Here all is static and checked when it is compiled, so
that a kernel takes the bare pointers of its buffers: ``int kernel(const void *, ..., void *)``. It returns 0: where a
loop is parallel, TVM gives back what the pool of threads said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autokd_edge.backends.tvm.processor import Processor

Vendor = Any


def target_of(processor: Processor) -> Vendor:
    """Return TVM's target of a processor."""
    from tvm.target import Target

    return Target({"kind": "llvm", "mtriple": processor.triple, "mcpu": processor.cpu, "mattr": list(processor.features), "num-cores": 1})


def write_object(kernels: Vendor, target: Vendor, out: Path) -> None:
    """Compile the kernels of a module to machine code."""
    import tvm
    from tvm import tirx

    module = tirx.transform.BindTarget(target.with_host(target))(kernels)
    module = tvm.ir.transform.Sequential(_lowering())(module)
    module = tvm.IRModule({variable: _bare(function) for variable, function in module.functions.items()})
    module = tirx.transform.LowerIntrin()(module)
    tvm.get_global_func("target.build.llvm")(module, target).write_to_file(str(out))


def _lowering() -> list[Vendor]:
    """Return the passes of TVM's own pipeline that a CPU kernel needs, in its order."""
    from tvm import s_tir, tirx

    blocks, plain = s_tir.transform, tirx.transform
    return [
        blocks.CanonicalizeLoop(),
        blocks.LowerInitBlock(),
        blocks.PlanAndUpdateBufferAllocationLocation(),
        blocks.ConvertBlocksToOpaque(),
        blocks.CompactBufferAllocation(),
        blocks.LowerMatchBuffer(),
        blocks.StmtSimplify(),
        blocks.LowerOpaqueBlock(),
        plain.FlattenBuffer(),
        plain.NarrowDataType(32),
        blocks.LoopPartition(),
        plain.VectorizeLoop(True),
        plain.StorageRewrite(),
        blocks.HoistIfThenElse(),
        plain.UnrollLoop(),
        blocks.RenormalizeSplitPattern(),
        plain.StmtSimplify(),
        plain.RemoveNoOp(),
        blocks.RewriteUnsafeSelect(),
        plain.CommonSubexprElim(),
        plain.VerifyMemory(),
    ]


def _bare(function: Vendor) -> Vendor:
    """Give a function the pointers of its buffers as parameters, where it had the buffers."""
    from tvm import ir, tirx

    pointers = [tirx.Var(f"p{i}", ir.PointerType(ir.PrimType(str(buffer.dtype)))) for i, buffer in enumerate(function.params)]
    views = [tirx.DeclBuffer(buffer, data=pointer) for buffer, pointer in zip(function.params, pointers, strict=True)]
    body = tirx.SeqStmt([*views, function.body, tirx.Return(tirx.const(0, "int32"))])
    return tirx.PrimFunc(pointers, body, ret_type=ir.PrimType("int32"), attrs=function.attrs)
