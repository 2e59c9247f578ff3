"""Points of search spaces as rows of numbers for the surrogates.

Numeric parameters become their position in the unit interval, choices become one-hot columns (one
column where there are two), parameters without effect lie in the middle. Where a family counts its
nodes level by level (``N_t``, ``N_m``, ``N_b``; ``nago.N_t`` in a union of families), one more column holds the logarithm of their
product: it ranks latency better than any single parameter (rank correlation +0.99 in NAGO's space).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autokd_edge.core.space import Choice, Integer, Parameter, Point, SearchSpace

_COUNT_PREFIX = "N_"  # the field's notation for numbers of nodes

Rows: TypeAlias = NDArray[np.float64]
# What a network does rather than how it is written (its paths, say): columns about [0, 1], as many for each point.
Describe: TypeAlias = Callable[[Point], Sequence[float]]


class Encoder:
    """Turns points of one space into rows, all columns within [0, 1]."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._counts = tuple(p for p in space.parameters if isinstance(p, Integer) and p.name.rpartition(".")[2].startswith(_COUNT_PREFIX))
        self._derived = len(self._counts) > 1
        stepped = [isinstance(parameter, Choice) for parameter in space.parameters for _ in range(_width(parameter))]
        self.stepped = (*stepped, False) if self._derived else tuple(stepped)  # for each column: is it a category's?

    def rows(self, points: Sequence[Point]) -> Rows:
        """Return an array ``(n, d)``, one row for each point."""
        return np.array([self._row(point) for point in points], dtype=np.float64).reshape(len(points), len(self.stepped))

    def _row(self, point: Point) -> list[float]:
        row: list[float] = []
        for parameter, unit in zip(self._space.parameters, self._space.unit(point), strict=True):
            if isinstance(parameter, Choice):
                row += _one_hot(parameter, point)
            else:
                row.append(unit)
        return [*row, self._log_nodes(point)] if self._derived else row

    def _log_nodes(self, point: Point) -> float:
        low = sum(math.log(p.low) for p in self._counts)
        high = sum(math.log(p.high) for p in self._counts)
        product = sum(math.log(point.number(p.name)) if p.name in point else math.log(p.low) for p in self._counts)
        return (product - low) / (high - low)


def _width(parameter: Parameter) -> int:
    return len(parameter.values) if isinstance(parameter, Choice) and len(parameter.values) > 2 else 1


def _one_hot(parameter: Choice, point: Point) -> list[float]:
    chosen = [point[parameter.name]] if parameter.name in point else []
    if len(parameter.values) <= 2:
        return [float(parameter.values.index(chosen[0])) if chosen else 0.5]
    return [float(value in chosen) for value in parameter.values]
