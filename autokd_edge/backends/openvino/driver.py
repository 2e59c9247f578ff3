"""OpenVINO's part of the device program: compile for a CPU, GPU or NPU, load and look into engines. Standard library and openvino only."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

Vendor = Any  # an object of OpenVINO's, whose stubs re-export nothing by name
Request = dict[str, Any]

NOT_EXECUTED = {"Const", "Input", "Output", "Parameter", "Result"}  # nodes of the execution graph without a kernel


class Engine:
    """A compiled model with one inference request."""

    def __init__(self, compiled: Vendor) -> None:
        self._compiled = compiled
        call = compiled.create_infer_request()
        self.image = call.get_input_tensor(0).data
        self.logits = call.get_output_tensor(0).data
        self.run = call.infer
        self.profile = call.get_profiling_info

    def executed(self) -> dict[str, int]:
        """Count the layers of the execution graph by the precision they run in."""
        return _executed(self._compiled)


def build(request: Request) -> dict[str, Any]:
    """Compile the ONNX file ``graph`` and write the engine to ``out``, in one step or not at all."""
    core = _core(request)
    compiled = core.compile_model(core.read_model(request["graph"]), request["plugin"], _properties(request))
    part = Path(request["out"] + ".part")
    try:
        exported = compiled.export_model()  # a stream; bytes in older versions
        part.write_bytes(exported.getvalue() if hasattr(exported, "getvalue") else exported)
        part.replace(request["out"])
    finally:
        part.unlink(missing_ok=True)
    return {"layers": _executed(compiled)}


def load(request: Request, engine: str) -> Engine:
    """Import an engine."""
    return Engine(_core(request).import_model(Path(engine).read_bytes(), request["plugin"], _properties(request)))


def layers(request: Request, engine: str, profiled: Callable[[Engine], None]) -> list[dict[str, Any]]:
    """Say what OpenVINO's performance counters say: the mean time of each kernel that ran.

    They count whole microseconds: a kernel of less than half of one is said not to have run.
    """
    properties = {**_properties(request), "PERF_COUNT": True}
    compiled = _core(request).import_model(Path(engine).read_bytes(), request["plugin"], properties)
    call = Engine(compiled)
    profiled(call)
    return [
        {
            "name": info.node_name,
            "kind": info.node_type,
            "precision": info.exec_type.rpartition("_")[2].lower(),  # brgconv_avx512_I8
            "mean_ns": round(info.real_time.total_seconds() * 1e9),
        }
        for info in call.profile()
        if str(info.status) == "Status.EXECUTED"
    ]


def toolchain() -> dict[str, str]:
    """Return OpenVINO's version."""
    return {"openvino": importlib.metadata.version("openvino")}


def _properties(request: Request) -> dict[str, Any]:
    # The CPU plugin would run float layers in bf16 or f16 where the processor has them.
    common = {"INFERENCE_PRECISION_HINT": request["precision_hint"], "PERFORMANCE_HINT": "LATENCY"}
    return {**common, "INFERENCE_NUM_THREADS": request["threads"], "NUM_STREAMS": 1} if request["plugin"] == "CPU" else common


def _core(request: Request) -> Vendor:
    import openvino

    vendor: Vendor = openvino
    core = vendor.Core()
    seen = core.available_devices  # "CPU", "GPU" or "GPU.0", "NPU"
    if not any(device.partition(".")[0] == request["plugin"] for device in seen):
        sys.stderr.write(f"this engine needs an Intel {request['plugin']} and its driver; OpenVINO sees {', '.join(seen)} here\n")
        sys.exit(os.EX_UNAVAILABLE)  # no other graph will fare better
    return core


def _executed(compiled: Vendor) -> dict[str, int]:
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kernels = [fact for fact in facts if fact["layerType"].astype(str) not in NOT_EXECUTED]
    return dict(Counter(fact["runtimePrecision"].astype(str).lower() for fact in kernels))
