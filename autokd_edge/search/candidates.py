"""Where candidates come from: a design, a pool of new architectures, distillation points; and their rows.

A row is the encoder's columns of the architecture, then the space's own description of it, where it
has one, then the columns of the distillation point. Limits are modelled by the first part. Accuracy
is modelled by the last part and by the description, which then stands in for the first part: two
architectures that do the same are one to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from autokd_edge.core.space import Point, SearchSpace, Value
from autokd_edge.core.study import Study
from autokd_edge.search.draw import grid, new_points, sample_new, stream, uniform
from autokd_edge.search.encode import Describe, Encoder, Rows
from autokd_edge.search.history import Reading, asked, lessons, suitable
from autokd_edge.search.neighbours import moves
from autokd_edge.search.surrogate import Columns

_POOL = 512  # random points that are looked at for a batch of probes, and as many local moves
_CENTRES = 16  # members around which local moves are made
_NEAR = 12  # distillation points around the best, and as many at random

# The usual setting for knowledge distillation in public code (a choice, not AutoKD's number).
GUESS: Mapping[str, Value] = {"tau": 4.0, "alpha": 0.9}


class Candidates:
    """Points of both spaces and their rows ``(n, d)``."""

    def __init__(
        self,
        architectures: SearchSpace,
        distillations: SearchSpace,
        *,
        guess: Mapping[str, Value] = GUESS,
        describe: Describe | None = None,
    ) -> None:
        self._architectures = architectures
        self._distillations = distillations
        self._listed = grid(architectures)
        self._describe = describe
        self._first = Encoder(architectures)
        self._second = Encoder(distillations)
        self._described = 0 if describe is None else len(describe(architectures.at([0.5] * len(architectures))))
        first, described, second = self._first.stepped, (True,) * self._described, self._second.stepped
        self.limit_columns = Columns(first=0, stepped=first)
        self.accuracy_columns = (
            Columns(first=len(first), stepped=(*described, *second)) if described else Columns(first=0, stepped=(*first, *second))
        )
        self.guess = _guessed(distillations, guess)

    def design(self, study: Study, count: int) -> list[Point]:
        """Return the next points of a scrambled Sobol sequence; uniform draws in a finite space."""
        seen = _seen(study)
        if self._listed is None:
            engine = SobolEngine(len(self._architectures), scramble=True, seed=study.config.seed)  # type: ignore[no-untyped-call]  # torch
            drawn = engine.draw(len(study.probes) + 2 * count, dtype=torch.float64)[len(study.probes) :]
            points = new_points(iter([self._architectures.at(row) for row in drawn.tolist()]), lambda p: p not in seen, count)
            if len(points) == count:
                return points
        return self.chance(study, count)

    def chance(self, study: Study, count: int) -> list[Point]:
        """Return new points drawn uniformly: the very ones that random search draws of this study."""
        return sample_new(self._architectures, self._listed, _seen(study), stream(study, "probe"), count)

    def pool(self, study: Study, known: Sequence[Reading]) -> tuple[list[Point], Rows]:
        """Return new points and their architecture rows: the whole rest of a finite space, else a sample."""
        seen = _seen(study)
        if self._listed is not None:
            kept = [i for i, point in enumerate(self._listed) if point not in seen]
            return [self._listed[i] for i in kept], self._listed_rows[kept]
        rng = stream(study, "pool")
        points = new_points(uniform(self._architectures, rng), lambda p: p not in seen, _POOL)
        centres = _centres(study, known)
        if centres:
            near = new_points(moves(self._architectures, centres, rng), lambda p: p not in seen, _POOL)
            points = list(dict.fromkeys([*points, *near]))
        return points, self.architecture_rows(points)

    def distillations(self, study: Study) -> list[Point]:
        """Return the best distillation point so far, the guess, moves around the best, and random points."""
        if not len(self._distillations):
            return [self.guess]
        rng = stream(study, "distillation")
        best = self.best_distillation(study)
        near = new_points(moves(self._distillations, [best], rng), lambda _: True, _NEAR)
        far = new_points(uniform(self._distillations, rng), lambda _: True, _NEAR)
        return list(dict.fromkeys([best, self.guess, *near, *far]))

    def best_distillation(self, study: Study) -> Point:
        """Return the distillation point of the most accurate pupil; the guess before the first."""
        taught = lessons(study)
        return max(taught, key=lambda lesson: lesson[1])[0].distillation if taught else self.guess

    def architecture_rows(self, points: Sequence[Point]) -> Rows:
        """Return the architecture's part of rows."""
        rows = self._first.rows(points)
        if self._describe is None:
            return rows
        return np.concatenate([rows, np.array([self._describe(point) for point in points]).reshape(len(points), self._described)], axis=1)

    def with_distillation(self, rows: Rows, distillation: Point) -> Rows:
        """Return whole rows: architecture rows with one distillation point beside each."""
        return np.concatenate([rows, np.repeat(self._second.rows([distillation]), len(rows), axis=0)], axis=1)

    def rows(self, pairs: Sequence[tuple[Point, Point]]) -> Rows:
        """Return whole rows of (architecture, distillation) pairs."""
        first = self.architecture_rows([architecture for architecture, _ in pairs])
        return np.concatenate([first, self._second.rows([distillation for _, distillation in pairs])], axis=1)

    @cached_property
    def _listed_rows(self) -> Rows:
        return self.architecture_rows(self._listed or ())


def _seen(study: Study) -> set[Point]:
    return {member.architecture for member in asked(study)}


def _centres(study: Study, known: Sequence[Reading]) -> list[Point]:
    """Return points worth a look around: the best taught, and what fits or misses by least."""
    best = sorted(suitable(study), key=lambda lesson: -lesson[1])[: _CENTRES // 2]
    near = sorted(known, key=lambda reading: abs(reading.worst))[: _CENTRES - len(best)]
    return list(dict.fromkeys([*(pupil.member.architecture for pupil, _ in best), *(r.member.architecture for r in near)]))


def _guessed(space: SearchSpace, guess: Mapping[str, Value]) -> Point:
    """Return the middle of the space with the guessed values of the parameters that it has."""
    middle = dict(space.at([0.5] * len(space)))
    return space.point({name: guess.get(name, value) for name, value in middle.items()})
