"""What a study works for: a student on one target that keeps the limits there, or a front of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from autokd_edge.core.digest import Digest
from autokd_edge.core.limits import Limits

Traded: TypeAlias = Literal["latency", "memory"]
FRONTS: tuple[tuple[Traded, ...], ...] = (("latency",), ("latency", "memory"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A target, what a student must keep on it, and what measures.

    ``device`` is an address, several of a pool joined by commas, or None: the machine that searches.
    ``pareto`` names what accuracy is traded for where a front of students is wanted; empty is one best student.
    """

    target: str
    target_digest: Digest
    limits: Limits
    device: str | None = None
    pareto: tuple[Traded, ...] = ()

    def __post_init__(self) -> None:
        if self.pareto and self.pareto not in FRONTS:
            raise ValueError(f"a front is of accuracy against latency, or against latency and memory; got {', '.join(self.pareto)}")
