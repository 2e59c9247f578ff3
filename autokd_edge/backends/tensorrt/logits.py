"""Run an engine on samples: in one process through the board's Python binding, or one process of trtexec each, and say so."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autokd_edge.backends.tensorrt import flags
from autokd_edge.backends.tensorrt.binding import Binding, Unusable
from autokd_edge.backends.tensorrt.trtexec import START_S, Job, Trtexec
from autokd_edge.backends.tensorrt.version import spelt
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import MeasureError
from autokd_edge.ports import Extra

_INPUT = "input"
_SLOW = "logits come from one process of trtexec a sample, some seconds each"
_log = logging.getLogger(__name__)


class LogitsRunner:
    """Runs engines for their logits; what makes it slow is warned of once."""

    def __init__(self, trtexec: Trtexec, binding: Binding) -> None:
        self._trtexec = trtexec
        self._binding = binding
        self._warned = False

    def run(self, engine: Path, inputs: Path) -> npt.NDArray[np.float32]:
        """Run an engine on each sample of a file (.npy, float32 ``(n, c, h, w)``), batch 1; logits ``(n, classes)``.

        Where the binding cannot be used, the input of the engine must be called "input".

        Raises:
            MeasureError: the engine did not run, the samples do not fit it, or a logit is not finite.
            DeviceError: the device, or the way to it, failed.
        """
        samples = np.load(inputs, mmap_mode="r", allow_pickle=False)
        if samples.dtype != np.float32:
            raise MeasureError(f"samples must be float32; got {samples.dtype}")
        found = self._binding.state(self._trtexec.version())
        if not isinstance(found, Unusable):
            return self._binding.logits(found, engine, inputs, samples=len(samples))
        if not self._warned:
            self._warned = True
            _log.warning("%s: %s. Hint: %s", _SLOW, found.reason, found.mend)
        return self._one_by_one(engine, samples)

    def extras(self) -> tuple[Extra, ...]:
        """Say whether the board's Python binding of TensorRT can be used.

        Raises:
            MeasureError: trtexec did not say its version, or a Python did not answer in time.
            DeviceError: the device, or the way to it, failed.
        """
        name, version = "tensorrt for Python", self._trtexec.version()
        found = self._binding.state(version)
        if isinstance(found, Unusable):
            return (Extra(name=name, found=f"{found.reason}; {_SLOW}", usable=False, mend=found.mend),)
        return (Extra(name=name, found=f"{spelt(version)}, {found.python[0]}", usable=True),)

    def _one_by_one(self, engine: Path, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        push = self._trtexec.link.push
        shortest = flags.run_arguments(self._trtexec.version(), push(engine), runs=1, seconds=0, warmup_s=0)
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            for index, sample in enumerate(samples):
                raw = Path(folder) / f"{digest_of_bytes(sample.tobytes())}.bin"
                raw.write_bytes(np.ascontiguousarray(sample).tobytes())
                job = Job(arguments=(*shortest, f"--loadInputs={_INPUT}:{push(raw)}", "--exportOutput={output}"), exports=("output",))
                (done,) = self._trtexec.ran([job], 2 * START_S)
                rows.append(_logits(done.exports.output, index))
        return np.array(rows, np.float32)


def _logits(exported: str | None, index: int) -> list[float]:
    try:
        values = json.loads(exported or "")[0]["values"]
        row = [float(value) for value in values]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise MeasureError(f"trtexec must export the logits of sample {index}; it wrote none that can be read") from error
    if not np.isfinite(row).all():
        raise MeasureError(f"logits must be finite; sample {index} is not")
    return row
