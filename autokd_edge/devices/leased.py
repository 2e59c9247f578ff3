"""Build on a board only while nobody measures there: a compiler at work would be in the other's readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.board import Place
from autokd_edge.devices.program import failing_as
from autokd_edge.errors import BuildError
from autokd_edge.ports import Builder, Exclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedBuilder:
    """A builder that holds the board's lease while it builds."""

    builder: Builder
    lease: Exclusive

    def toolchain(self) -> Mapping[str, str]:
        """Return what the builder returns."""
        return self.builder.toolchain()

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Wait for the board, then write the engine to ``out``.

        Raises:
            BuildError: as the builder; or somebody else kept the board for the whole waiting time (retryable).
            DeviceError: the device, or the way to it, failed.
        """
        with failing_as(BuildError), self.lease.hold("building an engine"):
            self.builder.build(graph, variant=variant, target=target, out=out)


def building_in_turn(builder: Builder, place: Place) -> Builder:
    """Return a builder whose compiler runs at ``place`` so that it disturbs nobody there.

    On this machine teaching goes on beside a measurement as well; there the reading's own flags say what was noisy.
    """
    return builder if place.link.device is None else LeasedBuilder(builder=builder, lease=place.lease)
