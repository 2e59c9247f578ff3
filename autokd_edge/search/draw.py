"""Draws from search spaces; every stream of random numbers is derived from the study's seed and its counts."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from autokd_edge.core.space import Choice, Integer, Ordinal, Point, Real, SearchSpace, Value
from autokd_edge.core.study import Study

_MOST_LISTED = 32_768  # spaces up to this size are listed whole instead of sampled
_TRIES = 64  # draws for each point that is wanted: a space with so few new points left counts as used up


def stream(study: Study, purpose: str) -> np.random.Generator:
    """Return the random numbers of one purpose at this point of the study; equal studies, equal numbers."""
    taught = len(study.teachings) + len(study.running)
    return np.random.default_rng([study.config.seed, len(study.probes), taught, zlib.crc32(purpose.encode())])


def grid(space: SearchSpace) -> tuple[Point, ...] | None:
    """Return every point of a finite space, in order, or None where it is too large to list."""
    values: list[Sequence[Value]] = []
    for parameter in space.parameters:
        match parameter:
            case Choice() | Ordinal():
                values.append(parameter.values)
            case Integer():
                values.append(range(parameter.low, parameter.high + 1))
            case Real():
                return None
    if math.prod(len(v) for v in values) > _MOST_LISTED:
        return None
    names = [parameter.name for parameter in space.parameters]
    return tuple(dict.fromkeys(space.point(dict(zip(names, row, strict=True))) for row in itertools.product(*values)))


def uniform(space: SearchSpace, rng: np.random.Generator) -> Iterator[Point]:
    """Yield points drawn uniformly in the unit cube, for ever."""
    while True:
        yield space.at(rng.random(len(space)).tolist())


def new_points(draws: Iterator[Point], is_new: Callable[[Point], bool], count: int) -> list[Point]:
    """Take up to ``count`` different new points; fewer where the draws bring up no more."""
    taken: dict[Point, None] = {}
    for point in itertools.islice(draws, _TRIES * count):
        if len(taken) == count:
            break
        if is_new(point):
            taken[point] = None
    return list(taken)


def sample_new(
    space: SearchSpace, listed: Sequence[Point] | None, seen: Collection[Point], rng: np.random.Generator, count: int
) -> list[Point]:
    """Draw up to ``count`` different points that were not seen; ``listed`` is the space's grid, where it has one."""
    if listed is None:
        return new_points(uniform(space, rng), lambda point: point not in seen, count)
    rest = [point for point in listed if point not in seen]
    return [rest[i] for i in rng.permutation(len(rest))[:count]]
