"""The space that candidates leave dominated, over cells of their costs.

Notation: values (n,), more is better; costs (n, k), less is better; a floor that values and worst costs (k,) that costs must
beat to count. The cost space below the worst is cut at every cost into m cells; over a cell, the height is the best value
of those that are no costlier than its lower corner. With k of 1 or 2 and some dozens of candidates that is exact and quick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autokd_edge.search.encode import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Cells by their corners ``(m, k)``, the lowest ones without end, and the height over each ``(m,)``."""

    lower: Rows
    upper: Rows
    heights: Rows
    floor: float

    @property
    def volume(self) -> float:
        """Return the hypervolume above the floor."""
        above = self.heights > self.floor  # nothing is above it over the cells without end
        widths = (self.upper[above] - self.lower[above]).prod(axis=1)
        return float((widths * (self.heights[above] - self.floor)).sum())

    def reached(self, costs: Rows) -> Rows:
        """Return the part of each cell that candidates of ``costs (n, k)`` dominate, were they of the highest value, ``(n, m)``."""
        sides = np.clip(self.upper - np.maximum(self.lower, costs[:, None]), 0.0, None)
        return np.asarray(sides.prod(axis=2))


def steps_of(values: Rows, costs: Rows, *, floor: float, worst: Rows) -> Steps:
    """Cut the cost space at the costs of all candidates."""
    edges = [np.unique(np.concatenate([[-np.inf], costs[costs[:, i] < worst[i], i], [worst[i]]])) for i in range(len(worst))]
    lower, upper = (
        np.stack(np.meshgrid(*chosen, indexing="ij"), axis=-1).reshape(-1, len(worst))
        for chosen in ([edge[:-1] for edge in edges], [edge[1:] for edge in edges])
    )
    within = (costs[None] <= lower[:, None]).all(axis=2)  # (m, n)
    heights = np.where(within, values[None], floor).max(axis=1, initial=floor)
    return Steps(lower=lower, upper=upper, heights=heights, floor=floor)


def hypervolume(values: Rows, costs: Rows, *, floor: float, worst: Rows) -> float:
    """Return the hypervolume of candidates; 0 where there is none."""
    return steps_of(values, costs, floor=floor, worst=worst).volume


def spread(values: Rows, costs: Rows, *, floor: float, worst: Rows) -> list[int]:
    """Return all candidates in the order in which each adds most hypervolume to those before it."""
    order: list[int] = []
    while len(order) < len(values):
        rest = [i for i in range(len(values)) if i not in order]
        order.append(max(rest, key=lambda i: (hypervolume(values[[*order, i]], costs[[*order, i]], floor=floor, worst=worst), values[i])))
    return order
