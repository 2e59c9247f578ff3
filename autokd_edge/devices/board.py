"""Time engines, read their memory and run them; each in a fresh process under the lease of the machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autokd_edge.core.codec import CodecError, Json, decode, encode
from autokd_edge.core.digest import digest_of_file, digest_of_json
from autokd_edge.core.measure import Fingerprint, Measurement, Origin, Protocol
from autokd_edge.core.profile import LayerTime
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.facts import COUNTER
from autokd_edge.devices.fingerprint import read_fingerprint
from autokd_edge.devices.program import ask, made_on_device
from autokd_edge.devices.protocol import Answer, Baseline, Subject, answer_from_json, reading, steadiest
from autokd_edge.devices.reference import built_once, write_null, write_sentinel
from autokd_edge.devices.runtime import DEVICE_PROGRAM, LinkedRuntime, Runtime
from autokd_edge.devices.throttling import over_reading
from autokd_edge.errors import BuildError, MeasureError
from autokd_edge.ports import Builder, Exclusive, Link

_NULL_READINGS = 3  # the median of three: VmHWM of equal processes differs by some 0.1 MB
_SHAPE_PRECISIONS = {"i32", "i64"}  # integer layers that compute shapes are no inference arithmetic
# Names that runtimes give to the precisions of layers, by what was asked for.
_RAN = {"int8": {"i8", "u8"}, "bf16": {"bf16"}, "fp16": {"f16"}}
_INFER_TIMEOUT_S = 600.0  # 10,000 samples of 60 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a board runs and keeps its own: the way there, the right to measure, a folder for reference engines."""

    link: Link
    lease: Exclusive
    folder: Path
    fingerprint: Callable[[], Fingerprint] = read_fingerprint  # reads the machine that the link leads to


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTimes:
    """What a device program says after profiling."""

    layers: tuple[LayerTime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a device program says after counting: instructions of single inferences."""

    instructions: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.instructions or min(self.instructions) < 1:
            raise ValueError(f"instructions must be positive; got {self.instructions}")


class RuntimeBoard:
    """Runs a runtime's engines on the device; the two reference engines are built once for each toolchain and processor."""

    def __init__(self, runtime: Runtime, builder: Builder, place: Place) -> None:
        self._runtime = runtime
        self._builder = builder
        self._place = place
        self._float = Variant(backend=runtime.name, precision=runtime.reference)
        self._baselines: dict[int, Baseline] = {}  # by number of threads

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Take a reading by the protocol; a void one is taken again, ``protocol.retries`` times at most.

        Raises:
            MeasureError: the engine could not be loaded or run, took longer than ``protocol.timeout_s``
                (retryable), or somebody else kept measuring (retryable).
        """
        fingerprint = self._place.fingerprint()
        try:
            settings = self._settings(variant)
            sentinel = self._reference("sentinel", write_sentinel, target, fingerprint)
            null = self._reference("null", write_null, target, fingerprint)
        except BuildError as error:
            raise MeasureError(error.args[0], hint=error.hint, retryable=error.retryable) from error
        push = self._place.link.push
        request = {"engine": push(engine), "threads": target.threads, **settings}
        with self._place.lease.hold(f"measuring by protocol '{protocol.name}'"):
            baseline = self._baseline(null, target, protocol)
            # The sentinel runs in fp32 whatever the engine does: a bf16 one would be no measure of the machine.
            fixed = dict(self._runtime.settings(self._float))
            timing = {**request, "sentinel": push(sentinel), "sentinel_settings": fixed, "protocol": encode(protocol)}
            answer = steadiest(lambda: self._timed(timing, protocol), protocol, baseline)
            counted = self._instructions(request, fingerprint, protocol)
        fingerprint = over_reading(fingerprint, self._place.fingerprint())
        origin: Origin = "emulated" if fingerprint.emulated else "device"
        subject = Subject(
            engine=digest_of_file(engine),
            variant=variant,
            target=target,
            protocol=protocol,
            fingerprint=fingerprint,
            origin=origin,
            device=self._place.link.device,
        )
        as_asked = ran_as_asked(variant.precision, answer.executed)
        self._remember(answer, target.threads)
        return replace(reading(answer, subject, baseline, as_asked=as_asked), instructions=counted)

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Run an engine on each sample of ``inputs`` and write the logits ``(n, classes)``.

        Raises:
            MeasureError: the engine did not run, the samples do not fit it, or a logit is not finite.
        """
        push = self._place.link.push
        with self._place.lease.hold("running an engine on a data set"), made_on_device(self._place.link, out) as made:
            request = {
                "engine": push(engine),
                "inputs": push(inputs),
                "out": made,
                "threads": target.threads,
                **self._settings(variant),
            }
            self.ask("infer", request, _INFER_TIMEOUT_S)

    def layers(self, engine: Path, *, variant: Variant, target: Target) -> tuple[LayerTime, ...]:
        """Say what the runtime's own profiler says of the layers, in a process of its own.

        Raises:
            MeasureError: the engine did not run, or the runtime said nothing.
        """
        request = {"engine": self._place.link.push(engine), "threads": target.threads, **self._settings(variant)}
        with self._place.lease.hold("profiling layers"):
            answer = self.ask("layers", request, _INFER_TIMEOUT_S)
        try:
            found = decode(LayerTimes, answer).layers
        except CodecError as error:
            raise MeasureError(f"a device program's answer must hold the times of layers; {error}") from error
        if not found:
            raise MeasureError(f"the profiler of '{self._runtime.name}' must name the layers that ran; it named none")
        return found

    def _settings(self, variant: Variant) -> Mapping[str, str]:
        try:
            return self._runtime.settings(variant)
        except BuildError as error:
            raise MeasureError(error.args[0], hint=error.hint, retryable=error.retryable) from error

    def count(self, request: Json, timeout_s: float) -> Json:
        """Count the instructions of single inferences: the program that drives the runtime reads its own count."""
        link = self._place.link
        argv = [COUNTER, *link.python, link.push(DEVICE_PROGRAM), link.push(self._runtime.driver), "instructions"]
        return ask(link, argv, request, timeout_s=timeout_s, failure=MeasureError)

    def _timed(self, request: Json, protocol: Protocol) -> Answer:
        return answer_from_json(self.ask("measure", request, protocol.timeout_s))

    def _instructions(self, request: Json, fingerprint: Fingerprint, protocol: Protocol) -> int | None:
        """Count the instructions of an inference where the device can; of several threads the counts would run together."""
        if not fingerprint.counts_instructions or request["threads"] != 1:
            return None
        answer = self.count(request, protocol.timeout_s)
        try:
            return round(statistics.median(decode(Counts, answer).instructions))
        except CodecError as error:
            raise MeasureError(f"a device program's answer must hold counts of instructions; {error}") from error

    def _baseline(self, null: Path, target: Target, protocol: Protocol) -> Baseline:
        """Measure the null engine once: the median peak memory of processes that do nothing but run it."""
        if target.threads not in self._baselines:
            request = {"engine": self._place.link.push(null), "threads": target.threads, **self._runtime.settings(self._float)}
            peaks = [self.ask("memory", request, protocol.timeout_s)["peak_rss_bytes"] for _ in range(_NULL_READINGS)]
            self._baselines[target.threads] = Baseline(null_rss_bytes=int(statistics.median(peaks)), sentinel_ns=None)
        return self._baselines[target.threads]

    def _remember(self, answer: Answer, threads: int) -> None:
        """Keep the fastest sentinel: a machine may be slowed by others, it is never sped up."""
        known = self._baselines[threads]
        fastest = min(filter(None, (known.sentinel_ns, answer.sentinel.before_ns, answer.sentinel.after_ns)))
        self._baselines[threads] = replace(known, sentinel_ns=fastest)

    def ask(self, mode: str, request: Json, timeout_s: float) -> Json:
        """Put one question to the device; a backend whose engines are programs of their own answers it another way."""
        return LinkedRuntime(runtime=self._runtime, link=self._place.link).ask(mode, request, timeout_s=timeout_s, failure=MeasureError)

    def _reference(self, name: str, write: Callable[[Path], None], target: Target, fingerprint: Fingerprint) -> Path:
        """Return a reference engine, built where this toolchain and processor have none yet."""
        key = digest_of_json([dict(self._builder.toolchain()), list(fingerprint.isa_flags), target.threads])

        def build(graph: Path, made: Path) -> None:
            self._builder.build(graph, variant=self._float, target=target, out=made)

        return built_once(self._place.folder / f"{name}-{key}.blob", write, build)


def ran_as_asked(precision: str, executed: dict[str, int]) -> bool:
    """Say whether layers ran in the precision asked for: fp32 in f32 alone, another one with at least one layer of it.

    Runtimes keep single layers, such as the conversion of the logits, in f32.
    """
    ran = {name for name, layers in executed.items() if layers} - _SHAPE_PRECISIONS
    if precision == "fp32":
        return ran == {"f32"}
    if precision != "int8" and ran & _RAN["int8"]:
        return False
    return bool(ran & _RAN[precision]) if precision in _RAN else False
