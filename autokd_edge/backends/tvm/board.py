"""Run engines that are programs of their own: they time themselves, say their memory, or read images and write logits."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autokd_edge.backends.tvm.builder import NAME, TVMBuilder
from autokd_edge.backends.tvm.quantize import TVM
from autokd_edge.core.codec import Json
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.profile import LayerTime
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.board import Place, RuntimeBoard
from autokd_edge.devices.counting import instructions_of
from autokd_edge.devices.program import ask
from autokd_edge.errors import MeasureError

_TIMINGS = ("warmup_runs", "warmup_s", "warmup_tolerance", "blocks", "block_runs", "block_s", "block_samples", "cooldown_s")
_COUNTED_RUNS = 10
_PROFILED_RUNS = 100
_MACHINES = {b"\x3e\x00": "x86_64", b"\xb7\x00": "aarch64"}  # e_machine of the ELF header, little-endian


class TVMBoard(RuntimeBoard):
    """Starts engines on the device of a place; the two reference engines are built by ``builder`` on this machine."""

    def __init__(self, builder: TVMBuilder, place: Place) -> None:
        super().__init__(TVM, builder, place)

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Take a reading by the protocol, as ``RuntimeBoard`` does; raises MeasureError."""
        with self._executable(engine) as program:
            return super().measure(program, variant=variant, target=target, protocol=protocol)

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Run an engine on each sample, as ``RuntimeBoard`` does; raises MeasureError."""
        with self._executable(engine) as program:
            super().infer(program, inputs, variant=variant, target=target, out=out)

    def layers(self, engine: Path, *, variant: Variant, target: Target) -> tuple[LayerTime, ...]:
        """Time the kernels one by one, as ``RuntimeBoard`` asks a runtime to; raises MeasureError."""
        with self._executable(engine) as program:
            return super().layers(program, variant=variant, target=target)

    def ask(self, mode: str, request: Json, timeout_s: float) -> Json:
        """Start the engine itself: there is no runtime to drive; the sentinel is timed by its own program, before and after."""
        if mode == "infer":
            return self._answer([request["engine"], mode, request["inputs"], request["out"]], timeout_s)
        if mode == "memory":
            return self._answer([request["engine"], mode], timeout_s)
        if mode == "layers":
            return self._answer([request["engine"], mode, str(_PROFILED_RUNS)], timeout_s)
        protocol = request["protocol"]
        sentinel = [request["sentinel"], "sentinel", str(protocol["sentinel_runs"])]
        before = self._answer(sentinel, timeout_s)
        answer = self._answer([request["engine"], mode, *(f"{name}={protocol[name]}" for name in _TIMINGS)], timeout_s)
        after = self._answer(sentinel, timeout_s)
        return {**answer, "sentinel": {"before_ns": before["median_ns"], "after_ns": after["median_ns"]}}

    def count(self, request: Json, timeout_s: float) -> Json:
        """Count an inference as the difference between two runs of the engine, one of which infers more often."""
        link = self._place.link
        few, many = (
            instructions_of(link, [request["engine"], "repeat", str(runs)], timeout_s=timeout_s) for runs in (1, 1 + _COUNTED_RUNS)
        )
        return {"instructions": [round((many - few) / _COUNTED_RUNS)]}

    def _answer(self, argv: list[str], timeout_s: float) -> Json:
        return ask(self._place.link, argv, None, timeout_s=timeout_s, failure=MeasureError)

    @contextmanager
    def _executable(self, engine: Path) -> Iterator[Path]:
        """Give a copy that may be started: a store keeps bytes, not permissions."""
        with tempfile.TemporaryDirectory(prefix=f"autokd-{NAME}-") as folder:
            copy = Path(folder) / "engine"
            try:
                shutil.copyfile(engine, copy)
            except OSError as error:
                raise MeasureError(f"engine '{engine}' could not be read: {error.strerror}") from error
            built_for, here = _architecture(copy), self._place.fingerprint().machine
            # A system may start foreign programs by an emulator without a word: that would be no reading of a device.
            if built_for not in {here, ""}:
                raise MeasureError(f"an engine must be built for the machine that runs it, {here}; this one is for {built_for}")
            copy.chmod(0o700)
            yield copy


def _architecture(program: Path) -> str:
    """Return what a program's ELF header says it is for; empty where it is none that is built here."""
    with program.open("rb") as stream:
        head = stream.read(20)
    return _MACHINES.get(head[18:20], "") if head[:4] == b"\x7fELF" else ""
