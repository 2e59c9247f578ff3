"""What is believed of candidates that were not probed: will they build, and keep each device limit?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from autokd_edge.core.front import costs_of
from autokd_edge.core.pupil import Member
from autokd_edge.core.study import Study
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.compression import below_compressed
from autokd_edge.search.draw import stream
from autokd_edge.search.encode import Rows
from autokd_edge.search.history import Reading, refused
from autokd_edge.search.surrogate import Columns, Surrogate, Unfit, fit, predict

# Readings that the model of a limit learns from: exact GPs of this size fit well within a second.
_MOST_READINGS = 256
# Standard deviation of log(memory): allocators round to pages and arenas.
_MEMORY_NOISE = 0.01
# Standard deviation of a label around its model: a refusal is seldom certain.
_LABEL_NOISE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitBeliefs:
    """Models of log(reading / limit), compressed below 0, one a limit; and of what builds, None where all did."""

    models: tuple[Surrogate, ...]
    builds: Surrogate | None

    def log_probability(self, x: Rows) -> Tensor:
        """Return log P(builds and keeps every limit) ``(n,)``, taken as independent."""
        total = self.log_building(x)
        for model in self.models:
            mean, deviation = predict(model, x)
            total = total + torch.special.log_ndtr(-mean / deviation)
        return total

    def log_building(self, x: Rows) -> Tensor:
        """Return log P(builds) ``(n,)``; 0 where nothing ever failed."""
        if self.builds is None:
            return torch.zeros(len(x), dtype=torch.float64)
        mean, deviation = predict(self.builds, x)
        certain: Tensor = torch.special.log_ndtr(mean / torch.hypot(deviation, torch.tensor(_LABEL_NOISE)))
        return certain


def limit_beliefs(study: Study, known: Sequence[Reading], candidates: Candidates) -> LimitBeliefs | Unfit:
    """Fit a model for each device limit; of a row they read the architecture's columns alone."""
    rows = partial(_rows, candidates)
    chosen = informative(study, known)
    x = rows([reading.member for reading in chosen])
    models = []
    for i, limit in enumerate([slack.limit for slack in chosen[0].slacks] if chosen else []):
        y = below_compressed(np.array([reading.log_ratios[i] for reading in chosen]))
        model = fit(x, y, columns=candidates.limit_columns, noise=np.array([_noise(reading, limit) for reading in chosen]))
        if isinstance(model, Unfit):
            return model
        models.append(model)
    builds = _building(study, [reading.member for reading in known], rows, candidates.limit_columns)
    return builds if isinstance(builds, Unfit) else LimitBeliefs(models=tuple(models), builds=builds)


def cost_models(study: Study, known: Sequence[Reading], candidates: Candidates) -> tuple[Surrogate, ...] | Unfit:
    """Fit a model of the logarithm of each cost that the goal trades accuracy for; rows as those of the limits."""
    chosen = informative(study, known)
    x = _rows(candidates, [reading.member for reading in chosen])
    y = np.log([costs_of(study.goal, reading.measurement) for reading in chosen])
    models = []
    for i, cost in enumerate(study.goal.pareto):
        model = fit(x, y[:, i], columns=candidates.limit_columns, noise=np.array([_noise(reading, cost) for reading in chosen]))
        if isinstance(model, Unfit):
            return model
        models.append(model)
    return tuple(models)


def _rows(candidates: Candidates, members: Sequence[Member]) -> Rows:
    return candidates.with_distillation(candidates.architecture_rows([m.architecture for m in members]), candidates.guess)


def _building(
    study: Study, built: Sequence[Member], rows: Callable[[Sequence[Member]], Rows], columns: Columns
) -> Surrogate | Unfit | None:
    """Fit the label 1 of what was built and -1 of what was refused: least-squares classification.

    (Rasmussen and Williams, 2006, section 6.5.) None where nothing failed.
    """
    broken = refused(study)
    if not broken:
        return None
    rng = stream(study, "building")
    chosen: list[Member] = []
    for group in (built, broken):
        chosen += [group[i] for i in sorted(rng.permutation(len(group))[: _MOST_READINGS // 2])]
    labels = np.array([1.0] * min(len(built), _MOST_READINGS // 2) + [-1.0] * min(len(broken), _MOST_READINGS // 2))
    return fit(rows(chosen), labels, columns=columns)


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
    """Return how large each network is, ``(n,)``: the mean of its standardised log parameters, MACs and latency.

    It stands in for accuracy until enough was taught. The measured latency is in it because counts can
    lie: operations that nothing is connected to have parameters and take no time.
    """
    columns = np.log([[max(1, r.cost.parameters), max(1, r.cost.macs), max(1.0, r.measurement.median_ns)] for r in known])
    spread = columns.std(axis=0)
    return np.asarray(((columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).mean(axis=1))


def _noise(reading: Reading, limit: str) -> float:
    """Return the standard deviation of log(reading): between blocks, and how far the sentinel drifted."""
    if limit != "latency":
        return _MEMORY_NOISE
    return math.hypot(reading.measurement.between_variation, reading.measurement.sentinel.drift)
