"""What a profile of one network holds: a row for each variant of the target, measured, failed or left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from autokd_edge.core.digest import Digest
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Failed
from autokd_edge.core.target import Variant
from autokd_edge.core.tuning import Tuning

PROFILE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """Mean time of one layer as the runtime's own profiler says it; a profiled run is slower than a timed one."""

    name: str
    kind: str  # the runtime's word for the operation or kernel
    precision: str  # f32, bf16, u8, ...; "unknown" where the runtime does not say
    mean_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """A variant that was built and measured; ``layers`` is None where nobody asked or the runtime cannot say."""

    engine_bytes: int  # size of the engine's file
    measurement: Measurement
    layers: tuple[LayerTime, ...] | None
    tuning: Tuning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A variant that was built for a device that is not here, and why it was not measured."""

    engine_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A variant that was not tried, and what would let it be."""

    reason: str


ProfileOutcome: TypeAlias = Profiled | Built | Failed | LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """One variant and what became of it."""

    variant: Variant
    outcome: ProfileOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A network on a target by one protocol; the document that ``--out`` writes and a report reads."""

    profile_version: int
    created: str  # UTC, ISO 8601
    model: str  # as it was named
    model_digest: Digest  # of the graph with its weights inside
    input_shape: tuple[int, ...]
    target: str
    target_digest: Digest
    protocol: str
    rows: tuple[ProfileRow, ...]

    def __post_init__(self) -> None:
        if self.profile_version != PROFILE_VERSION:
            raise ValueError(f"profile_version must be {PROFILE_VERSION}; got {self.profile_version}")
        if not self.rows:
            raise ValueError("a profile must have a row for each variant of its target; got none")

    @property
    def measured(self) -> tuple[ProfileRow, ...]:
        """Return the rows that hold a reading."""
        return tuple(row for row in self.rows if isinstance(row.outcome, Profiled))
