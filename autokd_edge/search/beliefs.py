"""What is believed of candidates that were not probed: will they build, and keep each device limit?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.models import SingleTaskGP
from torch import Tensor

from autokd_edge.core.study import Member, Study
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.draw import stream
from autokd_edge.search.encode import Rows
from autokd_edge.search.history import Reading, refused
from autokd_edge.search.surrogate import Unfit, below_compressed, fit, predict

# Readings that the model of a limit learns from: exact GPs of this size fit well within a second.
_MOST_READINGS = 256
# Standard deviation of log(memory): allocators round to pages and arenas.
_MEMORY_NOISE = 0.01
# Nearest designs that are asked whether a new one builds.
_NEIGHBOURS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitBeliefs:
    """Models of log(reading / limit), compressed below 0, one a limit; and what was built and what was not."""

    models: tuple[SingleTaskGP, ...]
    built: Rows  # (n, d)
    broken: Rows  # (m, d)

    def log_probability(self, x: Rows) -> Tensor:
        """Return log P(builds and keeps every limit) ``(n,)``, the limits taken as independent."""
        total = torch.from_numpy(np.log(self.building(x)))
        for model in self.models:
            mean, deviation = predict(model, x)
            total = total + torch.special.log_ndtr(-mean / deviation)
        return total

    def building(self, x: Rows) -> Rows:
        """Return the share of built ones among the nearest known, ``(n,)``; 1 where nothing ever failed."""
        if not len(self.broken):
            return np.ones(len(x))
        known = np.concatenate([self.built, self.broken])
        labels = np.concatenate([np.ones(len(self.built)), np.zeros(len(self.broken))])
        count = min(_NEIGHBOURS, len(known))
        distances = (x**2).sum(1)[:, None] - 2 * x @ known.T + (known**2).sum(1)[None, :]
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        return np.asarray((labels[nearest].sum(1) + 0.5) / (count + 1.0))


def limit_beliefs(study: Study, known: Sequence[Reading], candidates: Candidates) -> LimitBeliefs | Unfit:
    """Fit a model for each device limit; of a row they read the architecture's columns alone."""

    def rows(members: Sequence[Member]) -> Rows:
        return candidates.with_distillation(candidates.architecture_rows([m.architecture for m in members]), candidates.guess)

    chosen = informative(study, known)
    x = rows([reading.member for reading in chosen])
    models = []
    for i, limit in enumerate([slack.limit for slack in chosen[0].slacks] if chosen else []):
        y = below_compressed(np.array([reading.log_ratios[i] for reading in chosen]))
        model = fit(x, y, columns=candidates.limit_columns, noise=np.array([_noise(reading, limit) for reading in chosen]))
        if isinstance(model, Unfit):
            return model
        models.append(model)
    broken = refused(study)
    built = [reading.member for reading in known] if broken else []
    return LimitBeliefs(models=tuple(models), built=rows(built), broken=rows(broken))


def informative(study: Study, known: Sequence[Reading]) -> Sequence[Reading]:
    """Return at most 256 readings: those nearest to their worst limit, and as many at random."""
    if len(known) <= _MOST_READINGS:
        return known
    distance = np.abs([max(reading.log_ratios, default=0.0) for reading in known])
    order = np.argsort(distance, kind="stable")
    near, far = order[: _MOST_READINGS // 2], order[_MOST_READINGS // 2 :]
    rest = stream(study, "informative").permutation(far)[: _MOST_READINGS - len(near)]
    return [known[i] for i in sorted([*near, *rest])]


def capacities(known: Sequence[Reading]) -> Rows:
    """Return how large each network is, ``(n,)``: the mean of its standardised log parameters and log MACs.

    It stands in for accuracy until enough was taught.
    """
    columns = np.log([[max(1, reading.cost.parameters), max(1, reading.cost.macs)] for reading in known])
    spread = columns.std(axis=0)
    return np.asarray(((columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).mean(axis=1))


def _noise(reading: Reading, limit: str) -> float:
    """Return the standard deviation of log(reading): between blocks, and how far the sentinel drifted."""
    if limit != "latency":
        return _MEMORY_NOISE
    return math.hypot(reading.measurement.between_variation, reading.measurement.sentinel.drift)
