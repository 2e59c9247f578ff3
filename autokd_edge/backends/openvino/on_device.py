"""Build, time or run engines with OpenVINO on the device: a request on stdin, one JSON document on stdout, then the end.

Standard library and openvino (with its numpy) only, so that this file alone can be copied to a
board. ``python on_device.py build | memory | measure | infer``; each call is a fresh process.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

Vendor = Any  # an object of OpenVINO's, whose stubs re-export nothing by name
Request = dict[str, Any]
Answer = dict[str, Any]
Run = Callable[[], object]

SETTLING_RUNS = 5  # after loading and after each pause: the first runs pay for cold caches and first allocations
NOT_EXECUTED = {"Const", "Input", "Output", "Parameter", "Result"}  # nodes of the execution graph without a kernel


def main() -> int:
    """Answer the request that waits on stdin."""
    _stop_with_parent()
    answers = _claim_stdout()
    request: Request = json.load(sys.stdin)
    answer = {"build": build, "memory": memory, "measure": measure, "infer": infer}[sys.argv[1]](request)
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return 0


def build(request: Request) -> Answer:
    """Compile the ONNX file ``graph`` and write the engine to ``out``, in one step or not at all."""
    core = _core()
    compiled = core.compile_model(core.read_model(request["graph"]), "CPU", _properties(request))
    part = Path(request["out"] + ".part")
    try:
        exported = compiled.export_model()  # a stream; bytes in older versions
        part.write_bytes(exported.getvalue() if hasattr(exported, "getvalue") else exported)
        part.replace(request["out"])
    finally:
        part.unlink(missing_ok=True)
    return {"layers": _executed(compiled)}


def memory(request: Request) -> Answer:
    """Load ``engine``, run it a few times and say the peak memory of this process."""
    _pin(request)
    _loaded(request["engine"], request)
    return {"peak_rss_bytes": _peak_rss_bytes()}


def measure(request: Request) -> Answer:
    """Time ``engine`` between two timings of ``sentinel``; raw samples in ns, by block."""
    pinned = _pin(request)
    protocol = request["protocol"]
    compiled, run = _loaded(request["engine"], request)
    peak_rss_bytes = _peak_rss_bytes()  # before the sentinel is in memory
    executed = _executed(compiled)
    _, run_sentinel = _loaded(request["sentinel"], request)
    gc.collect()
    gc.disable()  # a collection inside a timed run is no property of the engine
    _warm_up(run_sentinel, protocol)
    before_ns = _sentinel_ns(run_sentinel, protocol)
    warm = _warm_up(run, protocol)
    blocks_ns = [_block(run, protocol) for _ in range(protocol["blocks"])]
    _settle(run_sentinel)
    return {
        "clock": "CLOCK_MONOTONIC by time.perf_counter_ns",
        "threads": request["threads"],
        "pinned": pinned,
        "warm": warm,
        "blocks_ns": blocks_ns,
        "peak_rss_bytes": peak_rss_bytes,
        "executed": executed,
        "sentinel": {"before_ns": before_ns, "after_ns": _sentinel_ns(run_sentinel, protocol)},
        "toolchain": {"openvino": importlib.metadata.version("openvino"), "python": platform.python_version()},
    }


def infer(request: Request) -> Answer:
    """Run ``engine`` on each sample of the ``inputs`` file, batch 1, and write the logits to ``out``."""
    import numpy as np

    _pin(request)
    samples = np.load(request["inputs"], mmap_mode="r")
    compiled = _imported(request["engine"], request)
    shape = tuple(compiled.input(0).shape)
    if samples.dtype != np.float32 or samples.shape[1:] != shape[1:] or shape[0] != 1:
        raise ValueError(f"samples must be float32 (n, {', '.join(map(str, shape[1:]))}); got {samples.dtype} {samples.shape}")
    call = compiled.create_infer_request()
    image, vector = call.get_input_tensor(0).data, call.get_output_tensor(0).data
    logits = np.empty((len(samples), vector.shape[-1]), np.float32)  # (n, classes)
    for index, sample in enumerate(samples):
        image[0] = sample
        call.infer()
        logits[index] = vector[0]
    if not np.isfinite(logits).all():
        raise ValueError(f"logits must be finite; sample {int(np.argmin(np.isfinite(logits).all(axis=1)))} is not")
    with Path(request["out"]).open("wb") as stream:
        np.save(stream, logits)
    return {"samples": len(samples)}


def _properties(request: Request) -> dict[str, Any]:
    return {
        # The CPU plugin would run float layers in bf16 or f16 where the processor has them.
        "INFERENCE_PRECISION_HINT": request["precision_hint"],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": request["threads"],
        "NUM_STREAMS": 1,
    }


def _core() -> Vendor:
    import openvino

    vendor: Vendor = openvino
    return vendor.Core()


def _imported(engine: str, request: Request) -> Vendor:
    return _core().import_model(Path(engine).read_bytes(), "CPU", _properties(request))


def _loaded(engine: str, request: Request) -> tuple[Vendor, Run]:
    """Import an engine and give it fixed random input: zeros could take a shorter way through a kernel."""
    import numpy as np

    compiled = _imported(engine, request)
    call = compiled.create_infer_request()
    generator = np.random.default_rng(0)
    for index, port in enumerate(compiled.inputs):
        image = call.get_input_tensor(index).data
        image[...] = generator.standard_normal(tuple(port.shape), dtype=np.float32)
    _settle(call.infer)
    return compiled, call.infer


def _executed(compiled: Vendor) -> dict[str, int]:
    """Count the layers of the execution graph by the precision they run in."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kernels = [fact for fact in facts if fact["layerType"].astype(str) not in NOT_EXECUTED]
    return dict(Counter(fact["runtimePrecision"].astype(str) for fact in kernels))


def _settle(run: Run) -> None:
    for _ in range(SETTLING_RUNS):
        run()


def _timed(run: Run, runs: int, seconds: float) -> list[int]:
    """Time single runs, at least so many and at least so long."""
    clock = time.perf_counter_ns
    samples: list[int] = []
    now = clock()
    end = now + int(seconds * 1e9)
    while len(samples) < runs or now < end:
        start = clock()
        run()
        now = clock()
        samples.append(now - start)
    return samples


def _warm_up(run: Run, protocol: Request) -> bool:
    """Run until two windows in a row have one median; say whether that came before the time limit."""
    end = time.monotonic() + protocol["warmup_s"]
    median = 0.0
    while True:
        earlier, median = median, statistics.median(_timed(run, protocol["warmup_runs"], 0))
        if abs(earlier / median - 1) <= protocol["warmup_tolerance"]:
            return True
        if time.monotonic() >= end:
            return False


def _block(run: Run, protocol: Request) -> list[int]:
    time.sleep(protocol["cooldown_s"])
    _settle(run)
    samples = _timed(run, protocol["block_runs"], protocol["block_s"])
    # Every n-th sample of a fast engine says as much about its percentiles, and a journal stays readable.
    return samples[:: -(-len(samples) // protocol["block_samples"])]


def _sentinel_ns(run: Run, protocol: Request) -> int:
    return round(statistics.median(_timed(run, protocol["sentinel_runs"], 0)))


def _pin(request: Request) -> bool:
    """Keep a single-threaded run on one core: the fastest one, and of equals the last (the first serves interrupts)."""
    if request["threads"] != 1 or not hasattr(os, "sched_setaffinity"):
        return False
    try:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0), key=lambda core: (_top_clock(core), core))})
    except OSError:
        return False
    return True


def _top_clock(core: int) -> int:
    try:
        return int(Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _peak_rss_bytes() -> int:
    """Read VmHWM: unlike ru_maxrss it starts anew with the program."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _claim_stdout() -> int:
    """Keep stdout for the answer alone: what a vendor prints goes to stderr."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _stop_with_parent() -> None:
    """Ask Linux to end this program with the one that started it: nobody may measure next to an orphan."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


if __name__ == "__main__":
    sys.exit(main())
