"""Ask a runtime that Python drives, each time in a process of its own: to quantise, to build, to run.

A runtime brings two files that run outside of this process: its part of the device program, and its
part of the program that quantises on this machine.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autokd_edge.core.codec import CodecError, Json, decode
from autokd_edge.core.digest import digest_of_file
from autokd_edge.core.quantization import QuantizeReport
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.program import ask, failing_as, made_on_device
from autokd_edge.errors import AbsentCompilerError, BuildError, QuantizeError, StageError
from autokd_edge.ports import Link

DEVICE_PROGRAM = Path(__file__).with_name("device_program.py")
NOISE_PROGRAM = Path(__file__).with_name("layer_noise.py")
QUANTIZE_PROGRAM = Path(__file__).with_name("quantize_program.py")
_VERSIONS_TIMEOUT_S = 60.0  # a first start of Python on a slow card


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What is known of a runtime before it is imported anywhere.

    ``settings`` gives what a variant adds to each request; it raises BuildError where the variant is
    not one of this backend's.
    """

    name: str  # of the backend
    packages: tuple[str, ...]  # their versions decide the bytes of quantised graphs and engines
    on_device: tuple[str, ...]  # all that a device needs to build and run engines
    install: str  # the command to type where a package is missing
    driver: Path  # the runtime's part of the device program
    quantize_driver: Path  # the quantiser's part of the program that quantises
    settings: Callable[[Variant], Mapping[str, str]]
    reference: str = "fp32"  # precision of the null engine and the sentinel


def refuse_other_variants(variant: Variant, backend: str, precisions: tuple[str, ...]) -> None:
    """Raise BuildError where a variant is not one that a backend builds."""
    if variant.backend != backend or variant.precision not in precisions:
        known = ", ".join(f"{backend}/{precision}" for precision in precisions)
        raise BuildError(f"backend '{backend}' builds {known}; got '{variant}'")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedRuntime:
    """A runtime at the other end of a link; each request is a fresh process there."""

    runtime: Runtime
    link: Link
    _there: dict[str, str] = field(default_factory=dict, repr=False, compare=False)  # versions that the device said

    def toolchain(self) -> dict[str, str]:
        """Return the versions of the runtime's packages, and the digests of our programs that set them up.

        What runs on another device is asked of it, once; the other packages are this machine's.

        Raises:
            AbsentCompilerError: a package is not installed here.
            RuntimeMissingError: a package is not on the device.
        """
        runtime = self.runtime
        if self.link.device is not None and not self._there:
            self._there.update(self.ask("toolchain", {}, timeout_s=_VERSIONS_TIMEOUT_S, failure=BuildError))
        try:
            versions = {name: self._there.get(name) or importlib.metadata.version(name) for name in runtime.packages}
        except importlib.metadata.PackageNotFoundError as error:
            raise AbsentCompilerError(f"backend '{runtime.name}' needs the package '{error.name}'", hint=runtime.install) from error
        programs = (runtime.driver, runtime.quantize_driver, NOISE_PROGRAM)  # another setting in them gives other bytes
        return versions | {f"{runtime.name}/{program.name}": digest_of_file(program) for program in programs}

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path, timeout_s: float) -> Json:
        """Compile a graph, write the engine to ``out`` and return the driver's answer; nothing is left there after a failure.

        Raises:
            AbsentDeviceError: the runtime sees no such device there.
            BuildError: the variant is not one of this backend's, or the compiler refused the graph,
                crashed, or took too long (retryable).
        """
        settings = self.runtime.settings(variant)
        with failing_as(BuildError), made_on_device(self.link, out) as made:
            request = {"graph": self.link.push(graph), "out": made, "threads": target.threads, **settings}
            return self.ask("build", request, timeout_s=timeout_s, failure=BuildError)

    def quantize(
        self, graph: Path, samples: Path, *, variant: Variant, target: Target, keep: Sequence[str], out: Path, timeout_s: float
    ) -> QuantizeReport:
        """Quantise a graph to int8 with the first samples and write it to ``out``; the link leads to this machine.

        Raises:
            QuantizeError: the variant is not int8, the samples do not fit the graph, or the quantiser failed.
        """
        name = self.runtime.name
        if variant.backend != name or variant.precision != "int8":
            raise QuantizeError(f"the quantiser of backend '{name}' is for {name}/int8; got '{variant}'")
        with failing_as(QuantizeError), made_on_device(self.link, out) as made:
            request = {
                "graph": self.link.push(graph),
                "samples": self.link.push(samples),
                "out": made,
                "backend": name,
                "int8_saturates": target.int8_saturates,
                "isa_flags": list(target.isa_flags),
                "keep": list(keep),
            }
            argv = [*self.link.python, self.link.push(QUANTIZE_PROGRAM), self.link.push(self.runtime.quantize_driver)]
            answer = ask(self.link, argv, request, timeout_s=timeout_s, failure=QuantizeError, hint=self.runtime.install)
            try:
                return decode(QuantizeReport, answer)
            except CodecError as error:
                raise QuantizeError(f"a quantiser's answer must report on each layer; {error}") from error

    def ask(self, mode: str, request: Json, *, timeout_s: float, failure: type[StageError]) -> Json:
        """Run the device program in one of its modes; raises ``failure``."""
        argv = [*self.link.python, self.link.push(DEVICE_PROGRAM), self.link.push(self.runtime.driver), mode]
        return ask(self.link, argv, request, timeout_s=timeout_s, failure=failure, hint=self.runtime.install)
