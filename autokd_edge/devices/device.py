"""A machine that engines run on: the way there, the right to measure on it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autokd_edge.core.measure import Fingerprint
from autokd_edge.ports import Exclusive, Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device; ``fingerprint`` reads the machine that the link leads to, raises DeviceError."""

    link: Link
    lease: Exclusive
    fingerprint: Callable[[], Fingerprint]
