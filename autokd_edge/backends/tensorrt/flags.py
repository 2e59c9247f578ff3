"""The arguments of trtexec, by its version. Every setting is said, because defaults differ between versions.

Source: samples/common/sampleOptions.cpp of github.com/NVIDIA/TensorRT at 8.2.1, 8.4.1, 8.5.2, 8.6.1, 10.3 and 11.1.

====================  ==========================================================================
up to 8.3             --workspace=MiB; --warmUp and --duration take whole numbers
8.4 and later         --memPoolSize=workspace:MiB, decimal times
up to 8.5             --buildOnly
8.6 and later         --skipInference (8.6 knows both, 10 only this)
11                    networks run in the types of the graph: no --fp16; no transfers, spin wait and
                      CUDA graphs by default
====================  ==========================================================================
"""

from __future__ import annotations

import math

from autokd_edge.backends.tensorrt.version import Version, spelt
from autokd_edge.core.measure import Protocol
from autokd_edge.errors import UnsupportedOperationError

_MIB = 2**20
_STRONG_TYPES = (11, 0, 0)


def build_arguments(version: Version, precision: str, *, graph: str, engine: str, workspace_bytes: int) -> list[str]:
    """Build an engine of an ONNX file and do not run it.

    Raises:
        UnsupportedOperationError: this version has no way to build the precision.
    """
    arguments = [f"--onnx={graph}", f"--saveEngine={engine}", *_precision(version, precision)]
    if workspace_bytes:
        size = workspace_bytes // _MIB
        arguments.append(f"--workspace={size}" if version < (8, 4, 0) else f"--memPoolSize=workspace:{size}")
    if inspects(version):
        arguments.append("--profilingVerbosity=detailed")  # or the layers would not say their precision
    return [*arguments, "--buildOnly" if version < (8, 6, 0) else "--skipInference"]


def run_arguments(version: Version, engine: str, *, runs: int, seconds: float, warmup_s: float) -> list[str]:
    """Run an engine: so many runs at least and so long at least, one stream, host-to-device copies apart but done."""
    warmup, duration = 1000 * warmup_s, seconds
    if version < (8, 4, 0):  # whole numbers: the number of runs decides below a second
        warmup, duration = math.ceil(warmup), math.floor(duration)
    common = [f"--loadEngine={engine}", f"--warmUp={warmup:g}", f"--duration={duration:g}", f"--iterations={runs}"]
    common += ["--streams=1", "--sleepTime=0", "--idleTime=0", "--avgRuns=10", "--useSpinWait"]
    if version >= _STRONG_TYPES:
        common += ["--includeDataTransfers", "--noCudaGraph"]
    return common


def block_arguments(version: Version, engine: str, protocol: Protocol) -> list[str]:
    """Time one block of a protocol and export the trace."""
    run = run_arguments(version, engine, runs=protocol.block_runs, seconds=protocol.block_s, warmup_s=protocol.warmup_s)
    return [*run, "--exportTimes={times}"]


def traced_from_ms(version: Version, warmup_s: float) -> float:
    """Say where the timed inferences of an exported trace begin: up to 8.4 it holds those of the warm-up too."""
    return 1000 * warmup_s if version < (8, 5, 0) else 0.0


def inspects(version: Version) -> bool:
    """Say whether trtexec of this version tells what an engine's layers are (from 8.2 on)."""
    return version >= (8, 2, 0)


def _precision(version: Version, precision: str) -> list[str]:
    """TF32 is no FP32: it is turned off, or what is called fp32 would be another network on Ampere."""
    if precision == "fp32":
        return ["--noTF32"]
    if version >= _STRONG_TYPES:
        raise UnsupportedOperationError(
            f"TensorRT {spelt(version)} runs networks in the types of their graph and has no --fp16; {precision} needs one of 8.0 to 10.x"
        )
    # Layers between quantised ones run in FP16, as in every fast INT8 engine on these boards.
    return ["--fp16"] if precision == "fp16" else ["--fp16", "--int8"]
