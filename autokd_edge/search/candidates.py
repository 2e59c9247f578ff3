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
from autokd_edge.search.front import in_order
from autokd_edge.search.history import Reading, asked, lessons, suitable
from autokd_edge.search.neighbours import moves
from autokd_edge.search.surrogate import Columns

_POOL = 512  # random points that are looked at for a batch of probes, and as many local moves
_CENTRES = 16  # members around which local moves are made
_OPEN = 4  # draws of what a guessed architecture leaves open
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
        begun = self._started(study, count)
        return [*begun, *self._unstarted(study, count - len(begun), begun)] if begun else self._unstarted(study, count, ())

    def start_distillations(self, study: Study) -> tuple[Point, ...]:
        """Return the user's own guesses of how to teach, or the usual one where there is none."""
        names = {parameter.name for parameter in self._distillations.parameters}
        own = [
            _guessed(self._distillations, {**dict(self.guess), **dict(start)})
            for start in study.config.starts
            if names & dict(start).keys()
        ]
        return tuple(dict.fromkeys(own)) or (self.guess,)

    def is_started(self, study: Study, architecture: Point) -> bool:
        """Say whether an architecture has all values of one of the user's own guesses."""
        names = {parameter.name for parameter in self._architectures.parameters}
        asked_for = [[(name, value) for name, value in start if name in names] for start in study.config.starts]
        return any(values and all(pair in architecture.values for pair in values) for values in asked_for)

    def _started(self, study: Study, count: int) -> list[Point]:
        """Return the user's own architectures that were not probed yet; what a guess leaves open is drawn, a few times."""
        rng, seen, found = np.random.default_rng([study.config.seed, _OPEN]), _seen(study), []
        for start in study.config.starts:
            names = {parameter.name for parameter in self._architectures.parameters}
            given = {name: value for name, value in start if name in names}
            for _ in range(_OPEN if given else 0):
                drawn = self._architectures.at(rng.random(len(self._architectures)).tolist())
                found.append(_completed(self._architectures, given, drawn))
        return [point for point in dict.fromkeys(found) if point not in seen][:count]

    def _unstarted(self, study: Study, count: int, begun: Sequence[Point]) -> list[Point]:
        seen = _seen(study).union(begun)
        if self._listed is None:
            engine = SobolEngine(len(self._architectures), scramble=True, seed=study.config.seed)  # type: ignore[no-untyped-call]  # torch
            drawn = engine.draw(len(study.probes) + 2 * count, dtype=torch.float64)[len(study.probes) :]
            points = new_points(iter([self._architectures.at(row) for row in drawn.tolist()]), lambda p: p not in seen, count)
            if len(points) == count:
                return points
        return [point for point in self.chance(study, count) if point not in begun]

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
        return list(dict.fromkeys([best, *self.start_distillations(study), *near, *far]))

    def best_distillation(self, study: Study) -> Point:
        """Return the distillation point of the most accurate pupil; the guess before the first."""
        taught = lessons(study)
        return max(taught, key=lambda lesson: lesson[1])[0].distillation if taught else self.start_distillations(study)[0]

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


def _completed(space: SearchSpace, given: Mapping[str, Value], drawn: Point) -> Point:
    """Return the given values with drawn ones for the rest; a parameter that only the given ones make active is in the middle."""
    middle = {parameter.name: parameter.at(0.5) for parameter in space.parameters}
    return space.point({**middle, **dict(drawn), **given})


def _seen(study: Study) -> set[Point]:
    return {member.architecture for member in asked(study)}


def _centres(study: Study, known: Sequence[Reading]) -> list[Point]:
    """Return points worth a look around: the best taught or the front of them, and what fits or misses by least."""
    best = in_order(study) if study.goal.pareto else [pupil for pupil, _ in sorted(suitable(study), key=lambda lesson: -lesson[1])]
    best = best[: _CENTRES // 2]
    near = sorted(known, key=lambda reading: abs(reading.worst))[: _CENTRES - len(best)]
    return list(dict.fromkeys([*(pupil.member.architecture for pupil in best), *(r.member.architecture for r in near)]))


def _guessed(space: SearchSpace, guess: Mapping[str, Value]) -> Point:
    """Return the middle of the space with the guessed values of the parameters that it has."""
    middle = dict(space.at([0.5] * len(space)))
    return space.point({name: guess.get(name, value) for name, value in middle.items()})
