"""Regularised evolution with the gate (Real et al., 2019, arXiv 1802.01548): a baseline.

The population is the pupils taught last; the best of a random tournament is mutated, the mutants are
probed, and one that fits is taught. Ageing: who is not among the last has left the population.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.space import SearchSpace
from autokd_edge.core.study import Study
from autokd_edge.search.draw import stream
from autokd_edge.search.history import asked, fitting, suitable, tried
from autokd_edge.search.ladder import Paused
from autokd_edge.search.neighbours import moves
from autokd_edge.search.random_search import RandomChooser

_POPULATION = 10  # drawn at random at first; a tenth of the paper's, for a hundredth of its evaluations
_TOURNAMENT = 5
_TRIES = 64  # mutations for each one that is wanted, before the rest is drawn at random


class EvolutionChooser:
    """Mutants of the best of small tournaments; needs nothing but numpy."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace) -> None:
        self._architectures = architectures
        self._distillations = distillations
        self._random = RandomChooser(architectures, distillations)

    def probe(self, study: Study, count: int) -> tuple[Member, ...]:
        """Return mutants of tournament winners; random members until the population is full or where mutants run out."""
        if len(suitable(study)) < _POPULATION:
            return self._random.probe(study, count)
        seen, found = asked(study), dict[Member, None]()
        for member in itertools.islice(self._mutants(study), _TRIES * count):
            if len(found) == count:
                break
            if member not in seen:
                found[member] = None
        others = [member for member in self._random.probe(study, count) if member not in found]
        return (*found, *others[: count - len(found)])

    def teach(self, study: Study) -> Pupil | None:
        """Return the member probed last that fits and was not taught, with a mutated distillation of a winner."""
        done = {pupil.member for pupil in tried(study)}
        free = [reading.member for reading in fitting(study) if reading.member not in done]
        if len(suitable(study)) < _POPULATION or not free:
            return self._random.teach(study)
        rng = stream(study, "evolve")
        parent = self._winner(study, rng)
        distillation = next(moves(self._distillations, [parent.distillation], rng)) if len(self._distillations) else parent.distillation
        return Pupil(member=free[-1], distillation=distillation)

    def promising(self, study: Study, among: Sequence[Paused]) -> Paused:
        """Return the most accurate one of the highest rung."""
        return self._random.promising(study, among)

    def _mutants(self, study: Study) -> Iterator[Member]:
        rng = stream(study, "mutate")
        while True:
            parent = self._winner(study, rng)
            yield Member(architecture=next(moves(self._architectures, [parent.member.architecture], rng)), index=0)

    @staticmethod
    def _winner(study: Study, rng: np.random.Generator) -> Pupil:
        population = suitable(study)[-_POPULATION:]
        drawn = [population[int(i)] for i in rng.permutation(len(population))[:_TOURNAMENT]]
        return max(drawn, key=lambda lesson: lesson[1])[0]
