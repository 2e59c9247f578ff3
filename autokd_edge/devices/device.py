"""A machine that engines run on: the way there, the right to measure on it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autokd_edge.core.measure import Fingerprint
from autokd_edge.core.recording import Recording
from autokd_edge.ports import Exclusive, Link

if TYPE_CHECKING:
    from autokd_edge.devices.pool import BoardPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device; ``fingerprint`` reads the machine that the link leads to, raises DeviceError.

    Of a pool of boards it is the first one, and ``fingerprint`` reads them all.
    """

    link: Link
    lease: Exclusive
    fingerprint: Callable[[], Fingerprint]
    pool: BoardPool | None = None
    recording: Recording | None = None  # where there is no board: what its readings are predicted from
