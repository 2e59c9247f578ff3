"""Boards of a pool without boards: each has a pace, may be lost, and says which one took a reading."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fakes.backend import FAKE_FINGERPRINT, FAKE_PROTOCOL, FAKE_TARGET, FAKE_TOOLCHAIN, FakeBoard, FakeBuilder, FakeQuantizer

from autokd_edge.core.measure import Fingerprint, Sentinel
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.device import Device
from autokd_edge.devices.pool import BoardPool
from autokd_edge.devices.pooled import pooled
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import ConnectionLostError, UnreachableError
from autokd_edge.ports import Backend

USUAL_NS = 50_000


@dataclass
class PacedBoard(FakeBoard):
    """Its sentinel runs ``pace`` times the usual time; after ``lost_after`` readings it is gone."""

    address: str
    paces: list[float] = field(default_factory=list)  # of its next readings; the last one stays
    lost_after: int | None = None
    fingerprint: Fingerprint = FAKE_FINGERPRINT
    toolchain: dict[str, str] = field(default_factory=lambda: dict(FAKE_TOOLCHAIN))
    reachable: bool = True
    measured: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.paces = self.paces or [1.0]

    def measure(self, engine, *, variant, target, protocol):
        if self.lost_after is not None and self.measured >= self.lost_after:
            raise ConnectionLostError(f"the connection to '{self.address}' broke", hint="see that it runs")
        self.measured += 1
        level = round(USUAL_NS * (self.paces.pop(0) if len(self.paces) > 1 else self.paces[0]))
        reading = super().measure(engine, variant=variant, target=target, protocol=protocol)
        return replace(reading, sentinel=Sentinel(before_ns=level, after_ns=level))

    def read(self) -> Fingerprint:
        if not self.reachable:
            raise UnreachableError(f"'{self.address}' must answer and run commands; nobody there", hint="ssh it")
        return self.fingerprint


class VersionedBuilder(FakeBuilder):
    """Builds with the toolchain of its board."""

    def __init__(self, board: PacedBoard) -> None:
        super().__init__()
        self._board = board

    def toolchain(self):
        return self._board.toolchain


def pool_of(*boards: PacedBoard) -> tuple[BoardPool, dict[str, Backend]]:
    """Make a pool and its backends."""
    pool = BoardPool([Device(link=link_to(board.address), lease=None, fingerprint=board.read) for board in boards])
    each = [{"fake": Backend(name="fake", builder=VersionedBuilder(board), quantizer=FakeQuantizer(), board=board)} for board in boards]
    return pool, pooled(each, pool, FAKE_TARGET, FAKE_PROTOCOL)


def link_to(address: str) -> SshLink:
    """Make a link that nobody opens."""
    return SshLink(SshConnection(ssh_address(address)))
