"""Ask the trtexec of a board: jobs go there in one request, and what it says comes back as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autokd_edge.backends.tensorrt.outputs import Device, Trace, device, refusal
from autokd_edge.backends.tensorrt.version import Version, banner_version
from autokd_edge.core.codec import CodecError, Json, decode
from autokd_edge.devices.program import ask
from autokd_edge.errors import MeasureError, RuntimeMissingError, StageError
from autokd_edge.ports import Link

PROGRAM = Path(__file__).with_name("trtexec_program.py")
# JetPack puts it where no PATH leads.
PLACES = ("trtexec", "/usr/src/tensorrt/bin/trtexec")
START_S = 15.0  # a process of trtexec on a Jetson Nano: CUDA's start and the engine's loading
_VERSION_TIMEOUT_S = 120.0  # the first start of CUDA on a cold board


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of trtexec; ``{name}`` in an argument stands for the file of an export."""

    arguments: tuple[str, ...]
    exports: tuple[str, ...] = ()
    pause_s: float = 0.0  # before it
    from_ms: float = 0.0  # what started earlier is left out of the trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What a job exported; None where it was not asked for, or trtexec did not write it."""

    times: Trace | None = None
    profile: str | None = None
    info: str | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A run of trtexec that ended."""

    status: int
    log: str
    exports: Exports
    peak_rss_bytes: int
    available_drop_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    jobs: tuple[Done, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trtexec:
    """The trtexec at the other end of a link."""

    link: Link
    places: tuple[str, ...] = PLACES
    _known: list[Version] = field(default_factory=list, repr=False, compare=False)  # asked once

    def run(self, jobs: Sequence[Job], *, timeout_s: float, failure: type[StageError]) -> tuple[Done, ...]:
        """Run jobs in turn; the first that fails is the last of the answer.

        Raises:
            StageError: of class ``failure``: the program did not run or took too long.
            RuntimeMissingError: there is no trtexec on the device.
            DeviceError: the device, or the way to it, failed.
        """
        document: Json = {
            "programs": list(self.places),
            "jobs": [
                {"arguments": list(job.arguments), "exports": list(job.exports), "pause_s": job.pause_s, "from_ms": job.from_ms}
                for job in jobs
            ],
        }
        answer = ask(self.link, [*self.link.python, self.link.push(PROGRAM)], document, timeout_s=timeout_s, failure=failure)
        if isinstance(answer, dict) and "missing" in answer:
            where = self.link.device or "this machine"
            raise RuntimeMissingError(
                f"'{where}' must have trtexec at one of {', '.join(self.places)}; it has not",
                hint="sudo apt-get install nvidia-jetpack" if self.link.device else "--device ssh://user@host leads to a Jetson",
            )
        try:
            return decode(_Answer, answer).jobs
        except CodecError as error:
            raise failure(f"a device program's answer must hold the runs of trtexec; {error}") from error

    def ran(self, jobs: Sequence[Job], timeout_s: float) -> tuple[Done, ...]:
        """Run jobs of which none may fail; raises MeasureError, with what trtexec said, and DeviceError."""
        done = self.run(jobs, timeout_s=timeout_s, failure=MeasureError)
        if done[-1].status != 0 or len(done) < len(jobs):
            refused = refusal(done[-1].status, done[-1].log)
            raise MeasureError(f"trtexec did not run the engine: {refused.args[0]}", hint=refused.hint)
        return done

    def version(self) -> Version:
        """Return the installed version, asked of the board once; raises MeasureError where its banner says none."""
        if not self._known:
            (done,) = self.run([Job(arguments=("--help",))], timeout_s=_VERSION_TIMEOUT_S, failure=MeasureError)
            found = banner_version(done.log)
            if found is None:
                raise MeasureError(f"trtexec must begin with a banner that says its version; it said {done.log[:60]!r}")
            self._known.append(found)
        return self._known[0]


def gpu_of(done: Sequence[Done]) -> Device | None:
    """Return what the runs say of the GPU."""
    return next(filter(None, (device(one.log) for one in done)), None)
