"""Lay buffers that live at different times into one arena: greedy, as by Pisarchyk and Lee (2020, arXiv 2001.03288).

Notation: a buffer lives from the step that writes it to the last step that reads it, both included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# A cache line, and what LLVM's aligned loads of the widest vectors ask for.
ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """An activation: ``first`` and ``last`` are numbers of steps."""

    name: str
    size_bytes: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        """Say whether both live at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """Where each buffer lies, in bytes from the start."""

    offsets: Mapping[str, int]
    size_bytes: int


def lay_out(buffers: Sequence[Buffer]) -> Arena:
    """Return the smallest of the plans that a few orders give; each buffer goes to the lowest place where none of its time lies."""
    orders: tuple[Callable[[Buffer], tuple[int | str, ...]], ...] = (
        lambda b: (-b.size_bytes, b.first, b.name),
        lambda b: (b.first, -b.size_bytes, b.name),
        lambda b: (-b.size_bytes * (b.last - b.first + 1), b.first, b.name),
        lambda b: (b.first - b.last, -b.size_bytes, b.name),
    )
    return min((_placed(sorted(buffers, key=order)) for order in orders), key=lambda arena: arena.size_bytes)


def _placed(buffers: Sequence[Buffer]) -> Arena:
    placed: list[tuple[int, Buffer]] = []
    for buffer in buffers:
        offset = 0
        for start, other in sorted(((s, o) for s, o in placed if o.meets(buffer)), key=lambda pair: pair[0]):
            if start - offset >= buffer.size_bytes:
                break
            offset = max(offset, _aligned(start + other.size_bytes))
        placed.append((offset, buffer))
    size = max((start + buffer.size_bytes for start, buffer in placed), default=0)
    return Arena(offsets={buffer.name: start for start, buffer in placed}, size_bytes=_aligned(size))


def lower_bound_bytes(buffers: Sequence[Buffer]) -> int:
    """Return the largest sum of buffers that live at one step: no arena is smaller."""
    steps = {buffer.first for buffer in buffers}
    return max((sum(b.size_bytes for b in buffers if b.first <= step <= b.last) for step in steps), default=0)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
