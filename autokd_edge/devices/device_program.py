"""Build, time or run engines on the device: a request on stdin, one JSON document on stdout, then the end.

``python -P device_program.py DRIVER toolchain | build | memory | measure | instructions | layers | infer``; each call is a
fresh process.
DRIVER is the file of one runtime's part, a ``Driver``. Standard library and numpy only, so that these
two files alone can be copied to a board.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import json
import mmap
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

Request = dict[str, Any]
Answer = dict[str, Any]
Run = Callable[[], object]

SETTLING_RUNS = 5  # after loading and after each pause: the first runs pay for cold caches and first allocations
COUNTED_RUNS = 5  # measured: counts of equal inferences differ by 0.2 %, medians of five by 0.006 %
# So many that the cold first run hardly counts in a mean; not so many that a profile of every run fills the disk.
PROFILED_LEAST, PROFILED_MOST, PROFILED_S = 20, 1000, 2.0


class Loaded(Protocol):
    """An engine in memory, with the buffers that it reads and writes."""

    image: Any  # numpy view of the input, float32 (1, c, h, w)
    logits: Any  # numpy view of the output, float32 (1, classes)

    def run(self) -> object:
        """Infer once, from ``image`` to ``logits``."""

    def executed(self) -> dict[str, int]:
        """Count the layers that run by their precision: f32, bf16, u8, i8, ..."""


class Driver(Protocol):
    """What a runtime's part of this program gives."""

    def build(self, request: Request) -> Answer:
        """Compile the ONNX file ``graph`` and write the engine to ``out``."""

    def load(self, request: Request, engine: str) -> Loaded:
        """Load an engine from its file, with the request's number of ``threads``."""

    def layers(self, request: Request, engine: str, profiled: Callable[[Any], None]) -> list[Answer]:
        """Load an engine with the runtime's profiler on, give it to ``profiled``, and say each layer's mean time.

        A layer is its ``name``, ``kind``, ``precision`` and ``mean_ns``, in the order of execution.
        """

    def toolchain(self) -> dict[str, str]:
        """Return the versions of what runs engines here."""


def main() -> int:
    """Answer the request that waits on stdin."""
    _stop_with_parent()
    answers = _claim_stdout()
    request: Request = json.load(sys.stdin)
    driver, mode = _driver(sys.argv[1]), sys.argv[2]
    modes = {"toolchain": toolchain, "build": build, "memory": memory, "measure": measure, "layers": layers, "infer": infer}
    answer = {**modes, "instructions": instructions}[mode](driver, request)
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return 0


def toolchain(driver: Driver, request: Request) -> Answer:  # noqa: ARG001  as all modes
    """Say the versions of what runs engines here."""
    return {**driver.toolchain()}


def build(driver: Driver, request: Request) -> Answer:
    """Let the runtime compile."""
    return driver.build(request)


def memory(driver: Driver, request: Request) -> Answer:
    """Load ``engine``, run it a few times and say the peak memory of this process."""
    _pin(request)
    _loaded(driver, request, "engine")
    return {"peak_rss_bytes": _peak_rss_bytes()}


def measure(driver: Driver, request: Request) -> Answer:
    """Time ``engine`` between two timings of ``sentinel``; raw samples in ns, by block."""
    pinned = _pin(request)
    protocol = request["protocol"]
    engine = _loaded(driver, request, "engine")
    peak_rss_bytes = _peak_rss_bytes()  # before anything else is in memory
    sentinel = _loaded(driver, {**request, **request.get("sentinel_settings", {})}, "sentinel")
    gc.collect()
    gc.disable()  # a collection inside a timed run is no property of the engine
    _warm_up(sentinel.run, protocol)
    before_ns = _sentinel_ns(sentinel.run, protocol)
    warm = _warm_up(engine.run, protocol)
    displaced = _Displaced()
    blocks_ns = [_block(engine.run, protocol, displaced) for _ in range(protocol["blocks"])]
    _settle(sentinel.run)
    after_ns = _sentinel_ns(sentinel.run, protocol)
    return {
        "clock": "CLOCK_MONOTONIC by time.perf_counter_ns",
        "threads": request["threads"],
        "pinned": pinned,
        "warm": warm,
        "blocks_ns": blocks_ns,
        "waited_share": displaced.share,
        "peak_rss_bytes": peak_rss_bytes,
        "executed": engine.executed(),
        "sentinel": {"before_ns": before_ns, "after_ns": after_ns},
        "toolchain": {**driver.toolchain(), "python": platform.python_version()},
    }


def layers(driver: Driver, request: Request) -> Answer:
    """Run ``engine`` with the runtime's profiler on, and say the mean time of each layer."""
    _pin(request)

    def profiled(engine: Loaded) -> None:
        _fill(engine)
        end = time.monotonic() + PROFILED_S
        for run in range(PROFILED_MOST):
            engine.run()
            if run + 1 >= PROFILED_LEAST and time.monotonic() >= end:
                break

    return {"layers": driver.layers(request, request["engine"], profiled)}


def instructions(driver: Driver, request: Request) -> Answer:
    """Count the instructions of single inferences; the emulator that runs this program grows a count in a file as it goes."""
    counter = Path(os.environ["AUTOKD_EDGE_COUNTER"])
    with counter.open("rb") as stream:
        count = memoryview(mmap.mmap(stream.fileno(), 8, access=mmap.ACCESS_READ)).cast("Q")
    counter.unlink()
    engine = _loaded(driver, request, "engine")
    gc.disable()
    nothing = min(_counted(count, lambda: None) for _ in range(COUNTED_RUNS))  # what reading the count itself takes
    return {"instructions": [_counted(count, engine.run) - nothing for _ in range(COUNTED_RUNS)]}


def infer(driver: Driver, request: Request) -> Answer:
    """Run ``engine`` on each sample of the ``inputs`` file, batch 1, and write the logits to ``out``."""
    import numpy as np

    _pin(request)
    samples = np.load(request["inputs"], mmap_mode="r")
    engine = driver.load(request, request["engine"])
    shape = tuple(engine.image.shape)
    if samples.dtype != np.float32 or samples.shape[1:] != shape[1:] or shape[0] != 1:
        raise ValueError(f"samples must be float32 (n, {', '.join(map(str, shape[1:]))}); got {samples.dtype} {samples.shape}")
    logits = np.empty((len(samples), engine.logits.shape[-1]), np.float32)  # (n, classes)
    for index, sample in enumerate(samples):
        engine.image[0] = sample
        engine.run()
        logits[index] = engine.logits[0]
    if not np.isfinite(logits).all():
        raise ValueError(f"logits must be finite; sample {int(np.argmin(np.isfinite(logits).all(axis=1)))} is not")
    with Path(request["out"]).open("wb") as stream:
        np.save(stream, logits)
    return {"samples": len(samples)}


def _driver(path: str) -> Driver:
    """Load a runtime's part by its path: its folder stays off the path, where it could shadow a vendor's modules."""
    spec = importlib.util.spec_from_file_location("driver", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"a driver must be a Python file; got '{path}'")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Driver", module)


def _loaded(driver: Driver, request: Request, which: str) -> Loaded:
    engine = driver.load(request, request[which])
    _fill(engine)
    _settle(engine.run)
    return engine


def _fill(engine: Loaded) -> None:
    """Give an engine fixed random input: zeros could take a shorter way through a kernel."""
    import numpy as np

    engine.image[...] = np.random.default_rng(0).standard_normal(engine.image.shape, dtype=np.float32)


def _counted(count: memoryview, run: Run) -> int:
    before = int(count[0])
    run()
    return int(count[0]) - before


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


class _Displaced:
    """Adds up how long the threads of this program waited for a processor while they were timed."""

    def __init__(self) -> None:
        self._waited_ns, self._timed_ns = 0, 0
        self._known = True  # false where the kernel does not say

    @property
    def share(self) -> float | None:
        return self._waited_ns / self._timed_ns if self._known else None

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        before, begun = _waited_ns(), time.perf_counter_ns()
        yield
        after = _waited_ns()
        self._timed_ns += time.perf_counter_ns() - begun
        if before is None or after is None:
            self._known = False
        else:
            self._waited_ns += after - before


def _waited_ns() -> int | None:
    """Return how long this program's threads have waited for a processor in all; None where the kernel does not say."""
    try:
        files = [Path(f"/proc/self/task/{thread}/schedstat") for thread in os.listdir("/proc/self/task")]  # noqa: PTH208  names are enough
        return sum(int(file.read_text(encoding="ascii").split()[1]) for file in files)
    except (OSError, ValueError, IndexError):
        return None


def _block(run: Run, protocol: Request, displaced: _Displaced) -> list[int]:
    time.sleep(protocol["cooldown_s"])
    _settle(run)
    with displaced.counted():
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
    """Read VmHWM, which unlike ru_maxrss starts anew with the program, or what is resident now where that is more.

    Linux 6.2 and later count VmHWM by processor and sum up now and then, 128 KiB and more behind.
    """
    peak = _kib_in("/proc/self/status", "VmHWM:")
    if peak is None:
        raise RuntimeError("/proc/self/status must say VmHWM; it does not")
    return 1024 * max(peak, _kib_in("/proc/self/smaps_rollup", "Rss:") or 0)


def _kib_in(path: str, name: str) -> int | None:
    """Return a number of KiB that a file of /proc gives behind a name; None where it gives none."""
    try:
        lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # kernels before 4.14 have no smaps_rollup
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)


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
