"""ONNX Runtime's part of the device program: optimise, load and look into engines. Standard library, numpy and onnxruntime only.

An engine is the graph that ONNX Runtime itself writes after all its optimisations; loaded with none,
it runs the very same nodes. Measured with 1.32 on a 1.6 M parameter network: it loads in 2 ms instead of
10 ms and peaks 13 MB lower than the graph optimised in part, whose weights are held in two layouts.
The .ort format loads no faster and has other bytes each time.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Vendor = Any  # an object of ONNX Runtime's, which has no types
Request = dict[str, Any]

VECTORS_KEY = "autokd_edge.vectors"  # in the metadata of an engine
# Optimised weights are blocked for the vectors of the processor, 16 or 8 floats: on another one they would give wrong numbers.
VECTOR_FLAGS = ("avx512f", "avx", "asimd")
_KERNEL = "_kernel_time"  # the end of an event's name in a profile
# These two compute in float on one side: they are no layers that run in integers.
CONVERSIONS = {"QuantizeLinear", "DequantizeLinear"}
PRECISIONS = {"float": "f32", "float16": "f16", "bfloat16": "bf16", "uint8": "u8", "int8": "i8", "int32": "i32", "int64": "i64"}


class Engine:
    """A session with its input and output bound to buffers: a copy would be a tenth of a small network's time."""

    def __init__(self, request: Request, path: str, options: Vendor = None) -> None:
        self._request = request
        self._path = path
        session = _session(path, options or _options(request))
        built_for = session.get_modelmeta().custom_metadata_map.get(VECTORS_KEY)
        if built_for != vectors():
            raise ValueError(f"an engine must be built for this processor's vectors, {vectors()}; this one is for {built_for}")
        (image,), (logits,) = session.get_inputs(), session.get_outputs()
        self.image = np.zeros(image.shape, np.float32)
        self.logits = np.zeros(logits.shape, np.float32)
        binding = session.io_binding()
        binding.bind_input(image.name, "cpu", 0, np.float32, self.image.shape, self.image.ctypes.data)
        binding.bind_output(logits.name, "cpu", 0, np.float32, self.logits.shape, self.logits.ctypes.data)
        self.run = functools.partial(session.run_with_iobinding, binding)
        self.end_profiling = session.end_profiling

    def executed(self) -> dict[str, int]:
        """Count the kernels of one run by the type of what they read, as the runtime's own profile says."""
        kernels = _profile(self._request, self._path, lambda engine: engine.run())
        return dict(Counter(_precision(kernel["args"]) for kernel in kernels))


def build(request: Request) -> dict[str, Any]:
    """Optimise the ONNX file ``graph`` for this processor and write the engine to ``out``, in one step or not at all."""
    runtime = _runtime()
    options = _options(request)
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    part = Path(request["out"] + ".part")
    options.optimized_model_filepath = str(part)
    options.add_session_config_entry("session.save_model_format", "ONNX")
    try:
        _session(request["graph"], options)
        part.replace(request["out"])
    finally:
        part.unlink(missing_ok=True)
    return {"vectors": vectors()}


def load(request: Request, engine: str) -> Engine:
    """Load an engine."""
    return Engine(request, engine)


def layers(request: Request, engine: str, profiled: Callable[[Engine], None]) -> list[dict[str, Any]]:
    """Say what ONNX Runtime's own profile says: the mean time of each kernel, in steps of 1 us a run."""
    durations: dict[str, list[int]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for kernel in _profile(request, engine, profiled):
        name = kernel["name"].removesuffix(_KERNEL)
        durations.setdefault(name, []).append(kernel["dur"])
        facts.setdefault(name, kernel["args"])
    return [
        {
            "name": name,
            "kind": facts[name]["op_name"],
            "precision": _precision(facts[name]),
            "mean_ns": round(1000 * sum(found) / len(found)),
        }
        for name, found in durations.items()
    ]


def toolchain() -> dict[str, str]:
    """Return ONNX Runtime's version."""
    return {"onnxruntime": importlib.metadata.version("onnxruntime")}


def vectors() -> str:
    """Return the flag of the widest vectors that ONNX Runtime's kernels use on this processor."""
    if platform.machine() == "aarch64":
        return "asimd"  # each has them, and under an emulator /proc/cpuinfo shows another processor
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return next((flag for flag in VECTOR_FLAGS if flag in flags), "none")


def _profile(request: Request, path: str, profiled: Callable[[Engine], Any]) -> list[dict[str, Any]]:
    """Run a session with the profiler on and return the events of its kernels."""
    with tempfile.TemporaryDirectory() as folder:
        options = _options(request)
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        engine = Engine(request, path, options)
        profiled(engine)
        events = json.loads(Path(engine.end_profiling()).read_text(encoding="utf-8"))
    return [event for event in events if event["cat"] == "Node" and event["name"].endswith(_KERNEL)]


def _runtime() -> Vendor:
    import onnxruntime

    return onnxruntime


def _options(request: Request) -> Vendor:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3  # errors: the last line on stderr is the reason of a failure
    # Float products stay in float on Arm, where bf16 is a choice.
    options.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "0")
    return options


def _session(path: str, options: Vendor) -> Vendor:
    # By path: bytes would lie in memory a second time, and count as the engine's.
    return _runtime().InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _precision(kernel: dict[str, Any]) -> str:
    if kernel["op_name"] in CONVERSIONS:
        return "f32"
    first: dict[str, Any] = next(iter(kernel["input_type_shape"]), {})
    type_name = next(iter(first), "none")
    return PRECISIONS.get(type_name, type_name)
