"""Ask the Python binding of TensorRT on a board, which JetPack ships: one process runs an engine on all samples."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autokd_edge.backends.tensorrt.version import Version, spelt
from autokd_edge.core.codec import CodecError, Json, decode
from autokd_edge.devices.program import ask, made_on_device
from autokd_edge.errors import MeasureError, TimedOutError
from autokd_edge.ports import Link

PROGRAM = Path(__file__).with_name("logits_program.py")
SYSTEM_PYTHON = "/usr/bin/python3"  # JetPack's binding is for this one, whatever else a PATH leads to
_START_S = 120.0  # a cold board: the libraries are some 500 MB, then CUDA's start and the engine's loading
_SAMPLE_S = 0.5  # at most, copies included; an engine that takes longer is of no use on a board
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """The binding is there, of trtexec's version."""

    python: tuple[str, ...]  # the arguments that start the Python that has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """Why the binding cannot be used, and the command that mends it."""

    reason: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    version: str | None = None
    absent: str | None = None
    lacks: str = "python3-libnvinfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    samples: int
    classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The Python binding at the other end of a link; looked for in ``pythons``, by default the link's own and the system's."""

    link: Link
    pythons: tuple[tuple[str, ...], ...] = ()
    _known: list[Usable | Unusable] = field(default_factory=list, repr=False, compare=False)  # asked once

    def state(self, version: Version) -> Usable | Unusable:
        """Say whether a binding of trtexec's ``version`` is there: engines run in no other. The board is asked once.

        Raises:
            TimedOutError: a Python did not answer in time (retryable).
            DeviceError: the device, or the way to it, failed.
        """
        if not self._known:
            found = [self._in(python, version) for python in dict.fromkeys(self.pythons or (self.link.python, (SYSTEM_PYTHON,)))]
            # Of those that cannot be used the last one's reason: the system's, where the package would be put.
            self._known.append(next((one for one in found if isinstance(one, Usable)), found[-1]))
        return self._known[0]

    def logits(self, found: Usable, engine: Path, inputs: Path, *, samples: int) -> npt.NDArray[np.float32]:
        """Run an engine on each of so many samples (.npy, float32 ``(n, c, h, w)``); logits ``(n, classes)``.

        Raises:
            MeasureError: the engine did not run, the samples do not fit it, or a logit is not finite.
            DeviceError: the device, or the way to it, failed.
        """
        link = self.link
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "logits.f32"
            with made_on_device(link, raw) as made:
                request: Json = {"engine": link.push(engine), "inputs": link.push(inputs), "out": made}
                answer = self._ask(found.python, "infer", request, _START_S + _SAMPLE_S * samples)
            values = np.fromfile(raw, "<f4")
        try:
            ran = decode(_Ran, answer)
        except CodecError as error:
            raise MeasureError(f"a device program's answer must say how many samples it ran; {error}") from error
        if ran.samples != samples or values.size != samples * ran.classes:
            raise MeasureError(f"{samples} samples must give {samples} x {ran.classes} logits; got {values.size} of {ran.samples} samples")
        rows = values.reshape(samples, ran.classes)
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise MeasureError(f"logits must be finite; sample {int(np.argmin(finite))} is not")
        return rows

    def _in(self, python: tuple[str, ...], version: Version) -> Usable | Unusable:
        mend = "sudo apt-get install python3-libnvinfer"
        try:
            said = decode(_Said, self._ask(python, "version", {}, _START_S))
        except TimedOutError:
            raise
        except (MeasureError, CodecError) as error:  # no such Python, or one that ends while it imports
            return Unusable(reason=f"'{python[0]}': {error.args[0]}", mend=mend)
        if said.version is None:
            install = mend if said.lacks == "python3-libnvinfer" else "sudo apt-get install nvidia-jetpack"
            return Unusable(reason=f"'{python[0]}': {said.absent}", mend=install)
        numbers = _NUMBERS.match(said.version)
        if numbers is None or tuple(map(int, numbers.groups())) != version:
            return Unusable(
                reason=f"'{python[0]}': the binding must be of trtexec's version {spelt(version)}, or it cannot read its engines; "
                f"it is {said.version}",
                mend=f"{mend} libnvinfer-bin",  # the package of trtexec, so that both are of one version
            )
        return Usable(python=python)

    def _ask(self, python: tuple[str, ...], mode: str, request: Json, timeout_s: float) -> Json:
        return ask(self.link, [*python, self.link.push(PROGRAM), mode], request, timeout_s=timeout_s, failure=MeasureError)
