"""Build TensorRT engines on the board with its own trtexec, and fetch them: an engine runs where it was built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from autokd_edge.backends.tensorrt import flags
from autokd_edge.backends.tensorrt.lint import lint
from autokd_edge.backends.tensorrt.outputs import refusal
from autokd_edge.backends.tensorrt.trtexec import PROGRAM, Job, Trtexec
from autokd_edge.backends.tensorrt.version import spelt
from autokd_edge.core.digest import digest_of_file
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.program import failing_as, made_on_device
from autokd_edge.devices.runtime import refuse_other_variants
from autokd_edge.errors import BuildError, BuildTimedOutError, MeasureError, TimedOutError

NAME = "tensorrt"
PRECISIONS = ("fp32", "fp16", "int8")
BUILD_TIMEOUT_S = 3600.0  # a Jetson Nano took 185 s for one large network; tactics of many layers take longer


class TrtexecBuilder:
    """Builds engines on the device of a link; the graph is looked through before the board is troubled."""

    def __init__(self, trtexec: Trtexec, *, timeout_s: float = BUILD_TIMEOUT_S) -> None:
        self._trtexec = trtexec
        self._timeout_s = timeout_s

    def toolchain(self) -> Mapping[str, str]:
        """Return the board's version of TensorRT, and the digests of what drives it.

        Raises:
            BuildError: trtexec did not say its version.
            RuntimeMissingError: there is no trtexec on the device.
            DeviceError: the device, or the way to it, failed.
        """
        with failing_as(BuildError):
            version = spelt(self._trtexec.version())
        programs = (PROGRAM, Path(flags.__file__))
        return {NAME: version} | {f"{NAME}/{program.name}": digest_of_file(program) for program in programs}

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Build an engine and write it to ``out``; nothing is left there after a failure.

        Raises:
            UnsupportedOperationError: this TensorRT, or this GPU, lacks an operation, an opset or a precision.
            BuildOutOfMemoryError: the board has not the memory.
            BuildTimedOutError: it took longer than the time limit (retryable).
            BuildError: anything else that trtexec refused.
            DeviceError: the device, or the way to it, failed.
        """
        refuse_other_variants(variant, NAME, PRECISIONS)
        if variant not in target.variants:
            raise BuildError(f"target '{target.name}' has the variants {', '.join(map(str, target.variants))}; got '{variant}'")
        link = self._trtexec.link
        with failing_as(BuildError):
            version = self._trtexec.version()
        lint(graph, variant, target, version)
        with _failing_as_build(), made_on_device(link, out) as made:
            arguments = flags.build_arguments(
                version, variant.precision, graph=link.push(graph), engine=made, workspace_bytes=target.workspace_bytes
            )
            (done,) = self._trtexec.run([Job(arguments=tuple(arguments))], timeout_s=self._timeout_s, failure=MeasureError)
            if done.status != 0:
                raise refusal(done.status, done.log)


@contextmanager
def _failing_as_build() -> Iterator[None]:
    """Give a link's failure the class of a build's; a time limit keeps a class of its own."""
    try:
        yield
    except MeasureError as error:
        failure = BuildTimedOutError if isinstance(error, TimedOutError) else BuildError
        raise failure(error.args[0], hint=error.hint, retryable=error.retryable) from error
