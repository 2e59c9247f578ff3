"""Time TensorRT engines on the board by the protocol, each block a run of trtexec; read memory, layers and logits."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autokd_edge.backends.tensorrt import flags, outputs
from autokd_edge.backends.tensorrt.builder import NAME, TrtexecBuilder
from autokd_edge.backends.tensorrt.logits import LogitsRunner
from autokd_edge.backends.tensorrt.trtexec import START_S, Done, Job, Trtexec, gpu_of
from autokd_edge.backends.tensorrt.version import Version, spelt, within
from autokd_edge.core.digest import digest_of_file, digest_of_json
from autokd_edge.core.measure import Measurement, Protocol, Sentinel
from autokd_edge.core.profile import LayerTime
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.board import Place, ran_as_asked
from autokd_edge.devices.protocol import Answer, Baseline, Subject, reading, steadiest
from autokd_edge.devices.reference import built_once, write_null, write_sentinel
from autokd_edge.devices.throttling import over_reading
from autokd_edge.errors import BuildError, MeasureError

LAUNCH_BOUND = 0.8  # trtexec's own law: the host's enqueue time against the GPU's
_PROFILED_RUNS = 100
_NULL_READINGS = 3  # the median of three: others take and give memory on the board meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class _NullMemory:
    """What a process takes that runs the null engine: by its own peak, and by how far the board's available memory fell."""

    peak_rss_bytes: int
    drop_bytes: int


class TrtexecBoard:
    """Runs engines with the trtexec of a link's device; the reference engines are built there once."""

    def __init__(self, trtexec: Trtexec, builder: TrtexecBuilder, place: Place, logits: LogitsRunner) -> None:
        self._trtexec = trtexec
        self._logits = logits
        self._builder = builder
        self._place = place
        self._float = Variant(backend=NAME, precision="fp32")
        self._fastest: int | None = None  # sentinel, in ns
        self._null: _NullMemory | None = None

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Take a reading of the GPU's compute time; copies to and from the GPU are apart and not in it.

        Raises:
            MeasureError: the engine could not be loaded or run, took too long, or somebody else kept measuring.
            DeviceError: the device, or the way to it, failed.
        """
        version, push = self._trtexec.version(), self._place.link.push
        sentinel, null = self._reference("sentinel", write_sentinel, target), self._reference("null", write_null, target)
        shortest = flags.run_arguments(version, push(engine), runs=1, seconds=0, warmup_s=0)
        inspect = ("--exportLayerInfo={info}",) if flags.inspects(version) else ()
        block = Job(
            arguments=tuple(flags.block_arguments(version, push(engine), protocol)),
            exports=("times",),
            pause_s=protocol.cooldown_s,
            from_ms=flags.traced_from_ms(version, protocol.warmup_s),
        )
        jobs = [
            self._sentinel_job(version, sentinel, protocol),
            Job(arguments=(*shortest, *inspect), exports=("info",)),
            *[block] * protocol.blocks,
            self._sentinel_job(version, sentinel, protocol),
        ]
        kept: list[tuple[Answer, tuple[Done, ...]]] = []

        def ask() -> Answer:
            done = self._trtexec.ran(jobs, protocol.timeout_s + START_S * len(jobs))
            kept.append((self._answer(done, version, protocol, block), done))
            return kept[-1][0]

        with self._place.lease.hold(f"measuring by protocol '{protocol.name}'"):
            empty = self._null_memory(version, null, protocol)
            baseline = Baseline(null_rss_bytes=empty.peak_rss_bytes, sentinel_ns=self._fastest)
            before = self._place.fingerprint()
            answer = steadiest(ask, protocol, baseline)
            fingerprint = over_reading(before, self._place.fingerprint())
        self._fastest = min(filter(None, (self._fastest, answer.sentinel.before_ns, answer.sentinel.after_ns)))
        subject = Subject(
            engine=digest_of_file(engine),
            variant=variant,
            target=target,
            protocol=protocol,
            fingerprint=fingerprint,
            origin="emulated" if fingerprint.emulated else "device",
            device=self._place.link.device,
        )
        made = reading(answer, subject, baseline, as_asked=ran_as_asked(variant.precision, answer.executed))
        done = next(runs for found, runs in kept if found is answer)
        return _with_more(made, done, empty, version, target)

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:  # noqa: ARG002  the port's signature
        """Run an engine on each sample: all in one process, where the board has its Python binding of TensorRT.

        Raises:
            MeasureError: the engine did not run, the samples do not fit it, or a logit is not finite.
            DeviceError: the device, or the way to it, failed.
        """
        with self._place.lease.hold("running an engine on a data set"):
            rows = self._logits.run(engine, inputs)
        with out.open("wb") as stream:
            np.save(stream, rows)

    def layers(self, engine: Path, *, variant: Variant, target: Target) -> tuple[LayerTime, ...]:  # noqa: ARG002  the port's signature
        """Say what trtexec's profiler says of the layers, and what the engine's inspector says of their precision.

        Raises:
            MeasureError: the engine did not run, or no layer was named.
            DeviceError: the device, or the way to it, failed.
        """
        version = self._trtexec.version()
        run = flags.run_arguments(version, self._place.link.push(engine), runs=_PROFILED_RUNS, seconds=0, warmup_s=0.2)
        inspect = ("--exportLayerInfo={info}",) if flags.inspects(version) else ()
        with self._place.lease.hold("profiling layers"):
            (done,) = self._trtexec.ran(
                [Job(arguments=(*run, "--exportProfile={profile}", *inspect), exports=("profile", "info"))], 10 * START_S
            )
        return outputs.layer_times(done.exports.profile, done.exports.info)

    def _sentinel_job(self, version: Version, sentinel: Path, protocol: Protocol) -> Job:
        engine = self._place.link.push(sentinel)
        run = flags.run_arguments(version, engine, runs=protocol.sentinel_runs, seconds=0, warmup_s=protocol.warmup_s)
        from_ms = flags.traced_from_ms(version, protocol.warmup_s)
        return Job(arguments=(*run, "--exportTimes={times}"), exports=("times",), from_ms=from_ms)

    def _null_memory(self, version: Version, null: Path, protocol: Protocol) -> _NullMemory:
        """Read the memory of processes that do nothing but run the null engine; once."""
        if self._null is None:
            run = flags.run_arguments(version, self._place.link.push(null), runs=1, seconds=0, warmup_s=0)
            done = self._trtexec.ran([Job(arguments=tuple(run))] * _NULL_READINGS, protocol.timeout_s + _NULL_READINGS * START_S)
            self._null = _NullMemory(
                peak_rss_bytes=round(statistics.median(one.peak_rss_bytes for one in done)),
                drop_bytes=round(statistics.median(one.available_drop_bytes for one in done)),
            )
        return self._null

    def _answer(self, done: tuple[Done, ...], version: Version, protocol: Protocol, block: Job) -> Answer:
        before, inspect, *blocks, after = done
        times = [outputs.timings(one.exports.times).compute_ns for one in blocks]
        ends = [outputs.timings(one.exports.times).compute_ns for one in (before, after)]
        first, half = times[0], len(times[0]) // 2 or 1
        warm = abs(statistics.median(first[:half]) / statistics.median(first[half:] or first) - 1) <= 2 * protocol.warmup_tolerance
        gpu = gpu_of(done)
        return Answer(
            clock="CUDA events of trtexec: compute on the GPU, copies apart",
            threads=1,
            pinned=True,  # the GPU's work; which core enqueues it is not in it
            warm=warm,
            blocks_ns=tuple(ns[:: -(-len(ns) // protocol.block_samples)] for ns in times),
            peak_rss_bytes=inspect.peak_rss_bytes,
            executed=outputs.executed(outputs.inspected(inspect.exports.info)),
            sentinel=Sentinel(before_ns=round(statistics.median(ends[0])), after_ns=round(statistics.median(ends[1]))),
            toolchain={
                NAME: spelt(version),
                f"{NAME}/flags": " ".join(argument for argument in block.arguments if not argument.startswith("--loadEngine=")),
                **({} if gpu is None else {f"{NAME}/gpu": f"{gpu.name}, compute capability {gpu.compute_capability}"}),
            },
        )

    def _reference(self, name: str, write: Callable[[Path], None], target: Target) -> Path:
        def build(graph: Path, made: Path) -> None:
            self._builder.build(graph, variant=self._float, target=target, out=made)

        try:
            key = digest_of_json([dict(self._builder.toolchain()), self._place.link.device, target.workspace_bytes])
            return built_once(self._place.folder / f"{name}-{key}.blob", write, build)
        except BuildError as error:
            raise MeasureError(error.args[0], hint=error.hint, retryable=error.retryable) from error


def _with_more(made: Measurement, done: tuple[Done, ...], null: _NullMemory, version: Version, target: Target) -> Measurement:
    """Add what only this backend knows: the drop of available memory, how many runs the kept ones stand for, and flags of its own."""
    blocks = [outputs.timings(one.exports.times) for one in done[2:-1]]
    enqueue = statistics.median(ns for block in blocks for ns in block.enqueue_ns)
    compute = statistics.median(ns for block in blocks for ns in block.compute_ns)
    described = target.runtime_versions.get(NAME)
    machine = made.fingerprint
    laws = {
        # The GPU is timed: jetson_clocks locks its clock and leaves the governors of the cores as they are.
        "clocks-unlocked": not machine.gpu_locked if machine.gpu_khz else "clocks-unlocked" in made.flags,
        "launch-bound": enqueue > LAUNCH_BOUND * compute,
        "runtime-not-as-described": described is not None and not within(version, described),
    }
    copies = {
        f"{NAME}/{name}": f"median {statistics.median(ns):.0f} ns" for name, ns in (("h2d", blocks[0].h2d_ns), ("d2h", blocks[0].d2h_ns))
    }
    return replace(
        made,
        toolchain={**made.toolchain, **copies, f"{NAME}/runs": f"{sum(block.runs for block in blocks)} timed, {made.count} kept"},
        memory=replace(made.memory, available_drop_bytes=done[1].available_drop_bytes, null_drop_bytes=null.drop_bytes),
        flags=(*(flag for flag in made.flags if flag not in laws), *(flag for flag, holds in laws.items() if holds)),
    )
