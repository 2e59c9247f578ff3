"""Read what trtexec exports and prints, by the rules of its version.

Source of the formats: samples/common/sampleReporting.cpp of github.com/NVIDIA/TensorRT at 8.2.1 to 11.1.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autokd_edge.core.profile import LayerTime
from autokd_edge.errors import BuildError, BuildOutOfMemoryError, MeasureError, UnsupportedOperationError

_SUMMARY = re.compile(r"\[I\] (Latency|GPU Compute Time|Enqueue Time|H2D Latency|D2H Latency|End-to-End Host Latency): (.*)")
_FIGURE = re.compile(r"(min|max|mean|median|percentile\(\d+%\)) = ([\d.e+-]+) ms")
_DEVICE = re.compile(r"\[I\] (Selected Device|Compute Capability): (.+)")
_ERROR = re.compile(r"\[E\] (.+)")
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|std::bad_alloc|cudaErrorMemoryAllocation|insufficient memory|NvMapMemAlloc\S* error 12", re.IGNORECASE
)
_OPERATION = re.compile(
    r"No importer registered for op: (\w+)|getPluginCreator could not find plugin: (\w+)|[Uu]nsupported (?:ONNX )?operator:? (\w+)"
)
_PRECISION = re.compile(
    r"int8.*(?:not supported|unsupported)|platform does(?:n't| not) (?:support|have) fast|Int8 precision", re.IGNORECASE
)
# Words of an inspector's "Format/Datatype", from the narrowest to the widest.
_DATATYPES = (
    ("i8", r"\bint8\b"),
    ("f16", r"\bFP16\b|\bhalf\b"),
    ("f32", r"\bFP32\b|\bfloat\b"),
    ("i32", r"\bint32\b"),
    ("i64", r"\bint64\b"),
)
_NO_KERNELS = {"Reformat", "NoOp", "Constant", "reformat"}
_KILLED = -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a run's inferences took, by columns of numbers; of a long run evenly spaced inferences stand for all."""

    rows: int  # inferences that were timed
    columns: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """One run of trtexec; each tuple has one number for each inference that was kept, in nanoseconds."""

    runs: int  # that were timed
    compute_ns: tuple[int, ...]  # on the GPU
    enqueue_ns: tuple[int, ...]  # on the host, to give the GPU its work
    h2d_ns: tuple[int, ...]
    d2h_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What trtexec says of the GPU."""

    name: str
    compute_capability: str


def timings(trace: Trace | None) -> Timings:
    """Turn a trace into nanoseconds.

    Raises:
        MeasureError: there is no trace, or nothing is left of it.
    """
    if trace is None:
        raise MeasureError("trtexec must export the times of its inferences; it wrote none that can be read")
    if trace.rows < 1:
        raise MeasureError("trtexec must time inferences after its warm-up; it timed none")

    def ns(values: Sequence[float]) -> tuple[int, ...]:
        return tuple(round(1e6 * value) for value in values)

    columns = trace.columns
    enqueue = [end - start for start, end in zip(columns["startEnqMs"], columns["endEnqMs"], strict=True)]
    return Timings(
        runs=trace.rows,
        compute_ns=ns(columns["computeMs"]),
        enqueue_ns=ns(enqueue),
        h2d_ns=ns(columns["h2dMs"]),
        d2h_ns=ns(columns["d2hMs"]),
    )


def layer_times(profile: str | None, info: str | None) -> tuple[LayerTime, ...]:
    """Read an exported profile, and the precision of its layers from the engine's inspector where that is known.

    Raises:
        MeasureError: the profile cannot be read, or names no layer.
    """
    try:
        head, *rows = json.loads(profile or "")
        runs = head["count"]
        found = {row["name"]: round(1e6 * row["timeMs"] / runs) for row in rows}
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise MeasureError("trtexec must export the times of layers; it wrote none that can be read") from error
    if not found:
        raise MeasureError("trtexec must export the times of layers; it named none")
    known = {layer.name: layer for layer in inspected(info)}
    unknown = Inspected(name="", kind="unknown", precision="unknown")
    return tuple(
        LayerTime(name=name, kind=known.get(name, unknown).kind, precision=known.get(name, unknown).precision, mean_ns=mean_ns)
        for name, mean_ns in found.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A layer of a built engine."""

    name: str
    kind: str
    precision: str  # of what it reads


def inspected(info: str | None) -> tuple[Inspected, ...]:
    """Read an exported layer information; nothing where it cannot be read or was not built with details."""
    try:
        layers = json.loads(info or "")["Layers"]
    except (ValueError, KeyError, TypeError):
        return ()
    found = [layer for layer in layers if isinstance(layer, dict)]
    return tuple(
        Inspected(name=str(layer.get("Name", "")), kind=str(layer.get("LayerType", "unknown")), precision=_precision(layer))
        for layer in found
    )


def executed(layers: Sequence[Inspected]) -> dict[str, int]:
    """Count the kernels by the precision of what they read; copies between formats are no kernels."""
    return dict(Counter(layer.precision for layer in layers if layer.kind not in _NO_KERNELS)) or {"unknown": 1}


def summary(log: str) -> dict[str, dict[str, float]]:
    """Return the performance summary of a log, in ms: quantity -> min, max, mean, median and percentiles."""
    return {name: {figure: float(value) for figure, value in _FIGURE.findall(rest)} for name, rest in _SUMMARY.findall(log)}


def device(log: str) -> Device | None:
    """Return what a log says of the GPU, or None where it does not."""
    found = {name: value.strip() for name, value in _DEVICE.findall(log)}
    if len(found) < 2:
        return None
    return Device(name=found["Selected Device"], compute_capability=found["Compute Capability"])


def refusal(status: int, log: str) -> BuildError:
    """Tell why a build ended: no memory, an operation that is not there, or the last error of the log."""
    errors = [line.strip() for line in _ERROR.findall(log)]
    said = errors[-1] if errors else next((line for line in reversed(log.splitlines()) if line.strip()), "nothing")
    if status == _KILLED:
        return BuildOutOfMemoryError(
            "trtexec was killed while it built, as the system does where memory runs out",
            hint="a smaller workspace_bytes in the descriptor",
        )
    memory = next((line for line in errors if _MEMORY.search(line)), None)
    if memory is not None:
        return BuildOutOfMemoryError(
            f"the device has not the memory to build this graph: {memory}", hint="a smaller workspace_bytes in the descriptor"
        )
    operation = _OPERATION.search(log)
    if operation is not None:
        name = next(filter(None, operation.groups()))
        return UnsupportedOperationError(f"this TensorRT has no operation {name}: {said}")
    if any(_PRECISION.search(line) for line in errors):
        return UnsupportedOperationError(f"this GPU or TensorRT has no such precision: {said}")
    return BuildError(f"trtexec refused the graph with status {status}: {said}")


def _precision(layer: Mapping[str, object]) -> str:
    """Take the type of the first tensor that a layer reads, or gives where it reads none."""
    for side in ("Inputs", "Outputs"):
        tensors = layer.get(side)
        if isinstance(tensors, list) and tensors and isinstance(tensors[0], dict):
            said = str(tensors[0].get("Format/Datatype", ""))
            return next((name for name, pattern in _DATATYPES if re.search(pattern, said, re.IGNORECASE)), "unknown")
    return "unknown"
