"""``bohb-paper``: what NAGO searched with, HpBandSter's model of good and bad configurations (Falkner et al., 2018).

The ratio of two densities, of the best 15 % and of the rest, each of at least d + 1 pupils; of 64 draws
from the good one, the largest ratio; one proposal in three at random. It knows no limits: for the order of
pupils, one that breaks a limit comes after all that keep them, by how far it misses; one that was
not measured here (another target asked for it) is the last. HpBandSter proposes
what it has seen again; here the best new draw is taken, since a repetition would teach nothing.

It learns from the highest rung on which enough pupils were judged; ``search/brackets.py`` says who goes on. Without
rungs all teachings are of one length, which is HpBandSter with one budget.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.space import Choice, SearchSpace
from autokd_edge.core.study import Study
from autokd_edge.search.brackets import best_first
from autokd_edge.search.draw import stream
from autokd_edge.search.history import asked
from autokd_edge.search.kde import Density, density
from autokd_edge.search.random_search import RandomProposer

_GOOD_PERCENT = 15
_DRAWS = 64
_RANDOM = 1 / 3
_WIDER = 3.0  # numbers are drawn with three times their bandwidth

_Array = NDArray[np.float64]


class BOHBProposer:
    """HpBandSter's generator of configurations over both spaces, as one of d dimensions."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace) -> None:
        self._spaces = (architectures, distillations)
        self._random = RandomProposer(architectures, distillations)
        parameters = [parameter for space in self._spaces for parameter in space.parameters]
        self._levels = tuple(len(p.values) if isinstance(p, Choice) else 0 for p in parameters)

    def propose(self, study: Study) -> Pupil | None:
        """Return the new draw with the largest ratio; a random pupil one time in three, and until there is a model."""
        rng = stream(study, "bohb")
        models = self._models(study, rng)
        if models is None or rng.random() < _RANDOM:
            return self._random.propose(study)
        good, bad = models
        drawn = good.draw(_DRAWS, _WIDER, rng)
        ratio = bad.at(drawn) / good.at(drawn)
        known = asked(study)
        for i in np.argsort(ratio, kind="stable"):
            pupil = self._pupil(drawn[i])
            if pupil.member not in known:
                return pupil
        return self._random.propose(study)

    def _models(self, study: Study, rng: np.random.Generator) -> tuple[Density, Density] | None:
        """Return the densities of good and of bad pupils; None before there are enough of them."""
        for rung in reversed(range(study.config.rungs)):
            models = self._models_of(best_first(study, rung), rng)
            if models is not None:
                return models
        return None

    def _models_of(self, ranked: Sequence[Pupil], rng: np.random.Generator) -> tuple[Density, Density] | None:
        rows = np.array([self._row(pupil) for pupil in ranked])
        least = len(self._levels) + 1
        if len(rows) < least:
            return None
        count = max(least, _GOOD_PERCENT * len(rows) // 100)
        good, bad = rows[:count], rows[count : count + max(least, (100 - _GOOD_PERCENT) * len(rows) // 100)]
        if min(len(good), len(bad)) <= len(self._levels):
            return None
        return density(self._imputed(good, rng), self._levels), density(self._imputed(bad, rng), self._levels)

    def _row(self, pupil: Pupil) -> list[float]:
        """Return a pupil's position in the unit cube, the index of each category, nan where a parameter has no effect."""
        row: list[float] = []
        for space, point in zip(self._spaces, (pupil.member.architecture, pupil.distillation), strict=True):
            for parameter in space.parameters:
                if parameter.name not in point:
                    row.append(np.nan)
                elif isinstance(parameter, Choice):
                    row.append(parameter.values.index(point[parameter.name]))
                else:
                    row.append(parameter.unit(point[parameter.name]))
        return row

    def _imputed(self, rows: _Array, rng: np.random.Generator) -> _Array:
        """Fill what has no effect from another row where it has, or at random: HpBandSter's way."""
        filled = rows.copy()
        for j, levels in enumerate(self._levels):
            empty = np.isnan(rows[:, j])
            others = rows[~empty, j]
            count = int(empty.sum())
            at_random = rng.integers(levels, size=count) if levels else rng.random(count)
            filled[empty, j] = rng.choice(others, size=count) if len(others) else at_random
        return filled

    def _pupil(self, row: _Array) -> Pupil:
        unit = [(value + 0.5) / levels if levels else value for value, levels in zip(row.tolist(), self._levels, strict=True)]
        first, second = self._spaces
        return Pupil(member=Member(architecture=first.at(unit[: len(first)]), index=0), distillation=second.at(unit[len(first) :]))
