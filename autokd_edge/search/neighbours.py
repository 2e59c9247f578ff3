"""Local moves: points that differ a little from a given one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autokd_edge.core.space import Choice, Integer, Ordinal, Parameter, Point, SearchSpace

_STEP = 0.15  # standard deviation of a move along a numeric parameter, as a share of its range


def moves(space: SearchSpace, around: Sequence[Point], rng: np.random.Generator) -> Iterator[Point]:
    """Yield points near the given ones, in turn and for ever: one or two parameters changed."""
    while True:
        for point in around:
            yield _move(space, point, rng)


def _move(space: SearchSpace, point: Point, rng: np.random.Generator) -> Point:
    unit = list(space.unit(point))
    for i in rng.permutation(len(space))[: 1 + rng.integers(2)]:
        unit[i] = _moved(space.parameters[i], unit[i], rng)
    return space.at(unit)


def _moved(parameter: Parameter, unit: float, rng: np.random.Generator) -> float:
    match parameter:
        case Choice(values=values):
            other = (int(unit * len(values)) + 1 + rng.integers(max(1, len(values) - 1))) % len(values)
            return (other + 0.5) / len(values)
        case Integer() | Ordinal():
            count = parameter.high - parameter.low + 1 if isinstance(parameter, Integer) else len(parameter.values)
            least = 1.0 / count
            step = rng.normal(0.0, _STEP)
            step = np.sign(step) * max(abs(step), least)
            return float(np.clip(unit + step, 0.0, 1.0))
        case _:
            return float(np.clip(unit + rng.normal(0.0, _STEP), 0.0, 1.0))
