"""Brackets of successive halving with HpBandSter's arithmetic (Li et al., 2018, arXiv 1603.06560; Falkner et al., 2018).

With three rungs and eta 2 they are 4, 2 and 1 pupils on the rungs from the lowest, then 2 and 1 from the second, then 3
on the last one alone, and again. The best of a rung go on, when all of its pupils are there. With one rung a bracket is
one pupil.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autokd_edge.core.pupil import Lesson, Pupil
from autokd_edge.core.study import Study
from autokd_edge.search.history import judged, own_teachings, readings
from autokd_edge.search.ladder import rung_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The next teaching of a bracket: on ``rung``, of the best of ``among``, or of a new pupil where nobody is."""

    rung: int
    among: tuple[Pupil, ...]

    def added_steps(self, study: Study) -> int:
        """Return the optimiser steps that it takes."""
        steps = study.config.rung_steps
        return steps[self.rung] - (steps[self.rung - 1] if self.among else 0)


def sizes(rungs: int, eta: int, number: int) -> tuple[int, ...]:
    """Return how many pupils bracket ``number``, counted from 0, has on each of its rungs, of which the last is the highest."""
    above = rungs - 1 - number % rungs
    first = rungs // (above + 1) * eta**above
    return tuple(max(1, first // eta**k) for k in range(above + 1))


def due(study: Study) -> Due:
    """Return the next teaching of the bracket that is under way; who failed does not go on."""
    config, own, number = study.config, list(own_teachings(study)), 0
    while True:
        counts = sizes(config.rungs, config.eta, number)
        lowest = config.rungs - len(counts)
        alive: tuple[Pupil, ...] = ()
        for k, count in enumerate(counts):
            wanted = min(count, len(alive)) if k else count
            here, own = own[:wanted], own[wanted:]
            if len(here) < wanted:
                begun = {taught.pupil for taught in here}
                return Due(rung=lowest + k, among=tuple(pupil for pupil in alive if pupil not in begun))
            alive = tuple(taught.pupil for taught in here if isinstance(taught.outcome, Lesson))
        number += 1


def best_first(study: Study, rung: int) -> list[Pupil]:
    """Return who was judged on a rung: what keeps the limits by accuracy, then the rest by its worst excess."""
    worst = {reading.member: reading.worst for reading in readings(study)}
    there = [(taught.pupil, accuracy) for taught, accuracy in judged(study) if rung_of(study, taught) == rung]
    ranked = sorted(there, key=lambda one: (max(0.0, worst.get(one[0].member, math.inf)), -one[1]))
    return [pupil for pupil, _ in ranked]
