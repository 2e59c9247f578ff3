"""Say that a TensorRT-RTX engine is not measured here: it was built for a GPU that this machine does not drive."""

from __future__ import annotations

from pathlib import Path

from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import NoDeviceError


class AbsentGPU:
    """The board of engines that are built ahead of time: every question of it is a NoDeviceError."""

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:  # noqa: ARG002  the port's signature
        """Refuse; raises NoDeviceError."""
        raise absent_gpu(target)

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:  # noqa: ARG002  the port's signature
        """Refuse; raises NoDeviceError."""
        raise absent_gpu(target, "run")


def absent_gpu(target: Target, done: str = "measured") -> NoDeviceError:
    """Say why an engine of the target is not measured, or not run, from here."""
    capabilities = ", ".join(target.compute_capabilities)
    return NoDeviceError(
        f"an engine of target '{target.name}' (compute capability {capabilities}) is built ahead of time and cannot be {done} here: "
        "that needs such a GPU with its driver, which no link of this version drives",
        hint="run the engine with tensorrt_rtx on the GPU's own machine",
    )
