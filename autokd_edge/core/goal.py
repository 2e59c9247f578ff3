"""What a study works for: a student on one target that keeps the limits there."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.digest import Digest
from autokd_edge.core.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A target, what a student must keep on it, and what measures.

    ``device`` is an address, several of a pool joined by commas, or None: the machine that searches.
    """

    target: str
    target_digest: Digest
    limits: Limits
    device: str | None = None
