"""Recorded readings of a device: what ``--predict`` is fitted to; one document a device."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.digest import Digest
from autokd_edge.core.measure import Fingerprint
from autokd_edge.core.target import Variant

RECORDING_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedReading:
    """What one network did in one variant: median latency, and the peak memory over the null engine."""

    variant: Variant
    median_ns: int
    between_variation: float
    engine_bytes: int
    flags: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.median_ns < 1 or self.engine_bytes < 0 or not self.between_variation >= 0:
            raise ValueError(f"a recorded latency must be positive; got {self.median_ns} ns, {self.engine_bytes} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedNetwork:
    """One network: how it is made again, what was counted of its graph, and its readings."""

    family: str
    input: tuple[int, int, int]
    parameters: dict[str, str | int | float]  # of the family
    counts: dict[str, int]
    readings: tuple[RecordedReading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedVariant:
    """What all readings of a variant have in common."""

    variant: Variant
    toolchain: dict[str, str]  # package -> version, as the device said
    null_rss_bytes: int
    sentinel_ns: int  # the median of the fixed engine beside all readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Readings of random members of families on one device by one protocol; the same seed draws the same members."""

    recording_version: int
    created: str  # UTC, ISO 8601
    package_version: str
    target: str
    threads: int
    fingerprint: Fingerprint
    protocol: str
    protocol_digest: Digest
    seed: int
    load_average_1min: tuple[float, float]  # of the machine that asked: the least and the most that was seen
    variants: tuple[RecordedVariant, ...]
    networks: tuple[RecordedNetwork, ...]

    def __post_init__(self) -> None:
        if self.recording_version != RECORDING_VERSION:
            raise ValueError(f"recording_version must be {RECORDING_VERSION}; got {self.recording_version}")
        known = {one.variant for one in self.variants}
        others = {reading.variant for network in self.networks for reading in network.readings} - known
        if others:
            raise ValueError(f"readings must be of the recording's variants; got one of {', '.join(sorted(map(str, others)))}")
