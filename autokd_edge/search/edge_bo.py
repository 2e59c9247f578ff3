"""Constrained Bayesian optimisation that asks the device first: the default strategy, ``edge-bo``.

Probes: a Sobol design, then the maximisers of constrained qLogNEI over random points and local moves
(of the probability to fit while nothing fits). Teachings: the largest expected improvement among the
members that were *measured* to fit, each with a set of distillation points.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from botorch.models import SingleTaskGP
from torch import Tensor
from torch.quasirandom import SobolEngine

from autokd_edge.core.space import Point, SearchSpace, Value
from autokd_edge.core.study import Member, Pupil, Study
from autokd_edge.search import acquisition
from autokd_edge.search.beliefs import LimitBeliefs, capacities, limit_beliefs, padded
from autokd_edge.search.draw import grid, new_points, sample_new, stream, uniform
from autokd_edge.search.encode import Encoder, Rows
from autokd_edge.search.history import Reading, asked, fitting, lessons, readings, tried
from autokd_edge.search.neighbours import moves
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.surrogate import Unfit, fit, predict, steady

_log = logging.getLogger(__name__)

_DESIGN = 16  # Sobol points before the first model: about two a parameter
_POOL = 512  # random points that are looked at for a batch of probes, and as many local moves
_SHORT = 96  # candidates that the Monte Carlo acquisition looks at, after an analytic sift
_CENTRES = 16  # members around which local moves are made
_LESSONS = 3  # teachings before the accuracy model: with fewer, network size says more than a GP
_DISTILLATIONS = 24  # distillation points tried with each shortlisted member

# The usual setting for knowledge distillation in public code (a choice, not AutoKD's number).
GUESS: Mapping[str, Value] = {"tau": 4.0, "alpha": 0.9}


class EdgeBO:
    """The default strategy; ``guess`` holds the distillation parameters that are tried first."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace, guess: Mapping[str, Value] = GUESS) -> None:
        self._architectures = architectures
        self._distillations = distillations
        self._listed = grid(architectures)
        self._listed_distillations = grid(distillations)
        self._first = Encoder(architectures)
        self._second = Encoder(distillations)
        self._width = len(self._first.columns) + len(self._second.columns)
        self._guess = _guessed(distillations, guess)
        self._random = RandomChooser(architectures, distillations)

    def probe(self, study: Study, count: int) -> tuple[Member, ...]:
        """Return ``count`` new members: a Sobol design at first, then what the models say."""
        if len(study.probes) < _DESIGN:
            points = self._design(study, count)
        else:
            with steady():
                points = self._guided(study, count)
        return tuple(Member(architecture=point, index=0) for point in points)

    def teach(self, study: Study) -> Pupil | None:
        """Return the pupil with the largest expected improvement among the members that were measured to fit."""
        members = fitting(study)
        if not members:
            return None
        if len(lessons(study)) < _LESSONS:
            return self._first_pupil(study, members)
        with steady():
            return self._taught_by_models(study, members)

    def _taught_by_models(self, study: Study, members: Sequence[Reading]) -> Pupil | None:
        taught = lessons(study)
        x = self._rows([(pupil.member.architecture, pupil.distillation) for pupil, _ in taught])
        model = fit(x, np.array([accuracy for _, accuracy in taught]))
        if isinstance(model, Unfit):
            return _by_chance("teaching", model, self._random.teach(study))
        return self._best_pupil(study, members, model, torch.from_numpy(x))

    def _design(self, study: Study, count: int) -> list[Point]:
        seen = _architectures(study)
        if self._listed is not None:
            return sample_new(self._architectures, self._listed, seen, stream(study, "design"), count)
        engine = SobolEngine(len(self._architectures), scramble=True, seed=study.config.seed)  # type: ignore[no-untyped-call]  # torch does not type it
        drawn = engine.draw(len(study.probes) + 2 * count, dtype=torch.float64)[len(study.probes) :]
        points = new_points(iter([self._architectures.at(row) for row in drawn.tolist()]), lambda p: p not in seen, count)
        return points or sample_new(self._architectures, None, seen, stream(study, "design"), count)

    def _guided(self, study: Study, count: int) -> list[Point]:
        known = tuple(readings(study))
        seen = _architectures(study)
        beliefs = limit_beliefs(study, known, self._first, self._width)
        pool = self._pool(study, known, seen)
        if isinstance(beliefs, Unfit):
            chance = sample_new(self._architectures, self._listed, seen, stream(study, "chance"), count)
            return _by_chance("probing", beliefs, chance)
        distillation = self._best_distillation(study)
        x = self._rows([(point, distillation) for point in pool])
        if not len(x):
            return []
        log_weight = beliefs.log_probability(x)
        objective = self._objective(study, known) if any(reading.fits for reading in known) else None
        if objective is None:
            short = torch.topk(log_weight, min(_SHORT, len(x))).indices
            function = acquisition.fitting(beliefs.models, None, study.config.seed) if beliefs.models else None
        else:
            model, baseline = objective
            best = float(predict(model, baseline)[0].max())
            short = acquisition.shortlist(model, torch.from_numpy(x), best, log_weight, _SHORT)
            function = acquisition.improving(model, beliefs.models, torch.from_numpy(baseline), None, study.config.seed)
        chosen = (
            short
            if function is None
            else short[acquisition.take(function, torch.from_numpy(x)[short], count, self._building(beliefs, x, short))]
        )
        return [pool[i] for i in chosen[:count].tolist()]

    @staticmethod
    def _building(beliefs: LimitBeliefs, x: Rows, short: Tensor) -> Tensor:
        return torch.from_numpy(np.log(beliefs.building(x[short.numpy()])))

    def _objective(self, study: Study, known: Sequence[Reading]) -> tuple[SingleTaskGP, Rows] | None:
        """Return the model of what is to be large and the rows it is compared with: accuracy, or at first size."""
        taught = lessons(study)
        if len(taught) >= _LESSONS:
            x = self._rows([(pupil.member.architecture, pupil.distillation) for pupil, _ in taught])
            model = fit(x, np.array([accuracy for _, accuracy in taught]))
            if not isinstance(model, Unfit):
                return model, x
        x = padded(self._first.rows([reading.member.architecture for reading in known]), self._width)
        model = fit(x, capacities(known), leading=len(self._first.columns))
        return None if isinstance(model, Unfit) else (model, x[[reading.fits for reading in known]])

    def _pool(self, study: Study, known: Sequence[Reading], seen: set[Point]) -> list[Point]:
        if self._listed is not None:
            return [point for point in self._listed if point not in seen]
        rng = stream(study, "pool")
        points = new_points(uniform(self._architectures, rng), lambda p: p not in seen, _POOL)
        centres = self._centres(study, known)
        if centres:
            near = new_points(moves(self._architectures, centres, rng), lambda p: p not in seen, _POOL)
            points = list(dict.fromkeys([*points, *near]))
        return points

    def _centres(self, study: Study, known: Sequence[Reading]) -> list[Point]:
        """Return points worth a look around: the best taught, and what fits or misses by least."""
        best = sorted(lessons(study), key=lambda lesson: -lesson[1])[: _CENTRES // 2]
        near = sorted(known, key=lambda reading: abs(reading.worst))[: _CENTRES - len(best)]
        return list(dict.fromkeys([*(pupil.member.architecture for pupil, _ in best), *(r.member.architecture for r in near)]))

    def _first_pupil(self, study: Study, members: Sequence[Reading]) -> Pupil | None:
        """Return the largest network that fits, later ones far from those tried, with the guessed distillation."""
        done = tried(study)
        free = [reading for reading in members if Pupil(member=reading.member, distillation=self._guess) not in done]
        if not free:
            return self._random.teach(study)
        size = capacities(members)
        large = {reading.member for reading, s in zip(members, size, strict=True) if s >= np.median(size)}
        x = self._first.rows([reading.member.architecture for reading in free])
        score = np.array([s for reading, s in zip(members, size, strict=True) if reading in free])
        if done:
            others = self._first.rows([pupil.member.architecture for pupil in done])
            score = np.abs(x[:, None, :] - others[None, :, :]).sum(-1).min(1)
            score = np.where([reading.member in large for reading in free], score, score - x.shape[1])
        return Pupil(member=free[int(score.argmax())].member, distillation=self._guess)

    def _best_pupil(self, study: Study, members: Sequence[Reading], model: SingleTaskGP, baseline: Tensor) -> Pupil | None:
        done = tried(study)
        best = float(predict(model, baseline.numpy())[0].max())
        start = self._best_distillation(study)
        x = self._rows([(reading.member.architecture, start) for reading in members])
        short = acquisition.shortlist(model, torch.from_numpy(x), best, None, _SHORT)
        points = self._distillation_points(study)
        pupils = [Pupil(member=members[i].member, distillation=point) for i in short.tolist() for point in points]
        pupils = [pupil for pupil in pupils if pupil not in done]
        if not pupils:
            return self._random.teach(study)
        x = self._rows([(pupil.member.architecture, pupil.distillation) for pupil in pupils])
        short = acquisition.shortlist(model, torch.from_numpy(x), best, None, _SHORT)
        function = acquisition.improving(model, (), baseline, None, study.config.seed)
        return pupils[int(short[acquisition.take(function, torch.from_numpy(x)[short], 1)[0]])]

    def _distillation_points(self, study: Study) -> list[Point]:
        """Return the guess, the best so far, moves around it, and random points."""
        if not len(self._distillations):
            return [self._guess]
        rng = stream(study, "distillation")
        best = self._best_distillation(study)
        near = new_points(moves(self._distillations, [best], rng), lambda _: True, _DISTILLATIONS // 2)
        far = new_points(uniform(self._distillations, rng), lambda _: True, _DISTILLATIONS // 2)
        return list(dict.fromkeys([best, self._guess, *near, *far]))

    def _best_distillation(self, study: Study) -> Point:
        taught = lessons(study)
        return max(taught, key=lambda lesson: lesson[1])[0].distillation if taught else self._guess

    def _rows(self, pairs: Sequence[tuple[Point, Point]]) -> Rows:
        """Return rows ``(n, width)`` of (architecture, distillation) pairs."""
        first = self._first.rows([architecture for architecture, _ in pairs])
        return np.concatenate([first, self._second.rows([distillation for _, distillation in pairs])], axis=1)


def _guessed(space: SearchSpace, guess: Mapping[str, Value]) -> Point:
    """Return the middle of the space with the guessed values of the parameters that it has."""
    middle = dict(space.at([0.5] * len(space)))
    return space.point({name: guess.get(name, value) for name, value in middle.items()})


def _architectures(study: Study) -> set[Point]:
    return {member.architecture for member in asked(study)}


T = TypeVar("T")


def _by_chance(what: str, unfit: Unfit, chosen: T) -> T:
    """Say that a choice was left to chance, and why."""
    _log.warning("the choice for %s was left to chance: %s", what, unfit.reason)
    return chosen
