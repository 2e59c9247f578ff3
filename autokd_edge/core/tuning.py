"""What came of tuning an engine on its board."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How many ways of computing each layer were timed on the board, and whether the engine of the fastest ones is faster.

    ``untuned_ns`` and ``tuned_ns`` are medians of the whole engines, run in turn; None where no other way was faster. A
    tuned engine gives the logits of the untuned one to the bit.
    """

    most: int  # candidates of a workload that were asked for
    workloads: int  # different layers
    known: int  # of them, those that were timed for another network on such a board
    candidates: int  # that were timed
    failed: dict[str, int]  # why others were not, and how many
    changed: int  # workloads that another candidate than the rule's computes faster
    seconds: float
    untuned_ns: float | None
    tuned_ns: float | None
    dropped: str = ""  # why a faster engine is not the one that is kept

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"candidates of a workload must be at least 1; got {self.most}")
        if (self.untuned_ns is None) != (self.tuned_ns is None):
            raise ValueError("both engines must be timed, or neither")

    @property
    def kept(self) -> bool:
        """Say whether the tuned engine is the faster one, which is kept."""
        faster = self.untuned_ns is not None and self.tuned_ns is not None and self.tuned_ns < self.untuned_ns
        return faster and not self.dropped
