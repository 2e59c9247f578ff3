"""Explain a study by its own models: the limit that binds, what 10 % more of it would buy, what mattered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autokd_edge.core.explanation import LEAST_GAIN, Explanation, Influence, Loosened
from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.study import Study
from autokd_edge.search.beliefs import LimitBeliefs, limit_beliefs
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.compression import compressed, uncompressed
from autokd_edge.search.draw import stream
from autokd_edge.search.encode import Rows
from autokd_edge.search.history import Reading, lessons, readings
from autokd_edge.search.surrogate import Surrogate, Unfit, fit, predict, steady

MORE = 1.1  # what a limit is loosened by
_FEWEST = 5  # lessons before anything is said of accuracy: a model of fewer says little but its prior
_DRAWS = 256  # points at which a model's variance is read
_LIKELY = math.log(0.5)  # a candidate that was never probed must build with at least this probability


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Candidates that were measured, then such that were not: log(reading / limit) ``(n, limits)`` and accuracy in % ``(n,)``."""

    log_ratios: Rows
    accuracies: Rows | None

    def best(self, log_allowed: Rows) -> float | None:
        """Return the highest accuracy among those within limits times exp(log_allowed)."""
        within = (self.log_ratios <= log_allowed).all(axis=1)
        return None if self.accuracies is None or not within.any() else float(self.accuracies[within].max())


def explain(study: Study, architectures: SearchSpace, distillations: SearchSpace) -> Explanation:
    """Explain a study of these two spaces; it must have read its teacher."""
    candidates = Candidates(architectures, distillations)
    known, taught = readings(study), lessons(study)
    with steady():
        beliefs = limit_beliefs(study, known, candidates) if known else Unfit(reason="nothing was measured")
        accuracy = _accuracy(study, candidates)
        everyone = _everyone(study, known, candidates, beliefs, accuracy)
        influences = _influences(study, (architectures, distillations), candidates, beliefs, accuracy)
    return Explanation(
        measured=len(known),
        lessons=len(taught),
        loosened=_loosened(known, everyone),
        influences=influences,
        unexplained=accuracy.reason if isinstance(accuracy, Unfit) else "",
    )


def _accuracy(study: Study, candidates: Candidates) -> Surrogate | Unfit:
    taught = lessons(study)
    if len(taught) < _FEWEST:
        return Unfit(reason=f"accuracy is explained from {_FEWEST} teachings on; there were {len(taught)}")
    x = candidates.rows([(pupil.member.architecture, pupil.distillation) for pupil, _ in taught])
    return fit(x, compressed(np.array([accuracy for _, accuracy in taught])), columns=candidates.accuracy_columns)


def _everyone(
    study: Study, known: Sequence[Reading], candidates: Candidates, beliefs: LimitBeliefs | Unfit, accuracy: Surrogate | Unfit
) -> _Known:
    """Put what was measured beside a pool of candidates whose readings are predicted."""
    log_ratios = np.array([reading.log_ratios for reading in known]).reshape(len(known), -1)
    rows = candidates.architecture_rows([reading.member.architecture for reading in known])
    if not isinstance(beliefs, Unfit) and beliefs.models:
        points, pool = candidates.pool(study, known)
        if points:
            x = candidates.with_distillation(pool, candidates.guess)
            builds = (beliefs.log_building(x) >= _LIKELY).numpy()
            means = np.column_stack([predict(model, x)[0].numpy() for model in beliefs.models])
            log_ratios, rows = np.vstack([log_ratios, means[builds]]), np.vstack([rows, pool[builds]])
    if isinstance(accuracy, Unfit) or not len(rows):
        return _Known(log_ratios=log_ratios, accuracies=None)
    mean = predict(accuracy, candidates.with_distillation(rows, candidates.best_distillation(study)))[0].numpy()
    taught = np.array([value for _, value in lessons(study)])
    return _Known(log_ratios=log_ratios, accuracies=np.clip(uncompressed(mean, taught), 0, 100))


def _loosened(known: Sequence[Reading], everyone: _Known) -> tuple[Loosened, ...]:
    """Return each limit with what more of it would change; the one that buys most first, then the one that refuses most alone."""
    if not known:
        return ()
    measured = np.array([reading.log_ratios for reading in known]).reshape(len(known), -1)
    breaks = measured > 0
    now, found = everyone.best(np.zeros(measured.shape[1])), []
    for i, slack in enumerate(known[0].slacks):
        allowed = np.where(np.arange(measured.shape[1]) == i, math.log(MORE), 0.0)
        then = everyone.best(allowed)
        found.append(
            Loosened(
                limit=slack.limit,
                bound=slack.bound,
                loosened=MORE * slack.bound,
                broken=int(breaks[:, i].sum()),
                broken_alone=int((breaks[:, i] & (breaks.sum(axis=1) == 1)).sum()),
                fitting=int((~breaks.any(axis=1)).sum()),
                fitting_then=int((measured <= allowed).all(axis=1).sum()),
                predicted=then,
                gain=None if then is None or now is None else then - now,
            )
        )
    return tuple(
        sorted(
            found, key=lambda one: (-one.gain if one.gain is not None and one.gain >= LEAST_GAIN else 0.0, -one.broken_alone, -one.broken)
        )
    )


def _influences(
    study: Study,
    spaces: tuple[SearchSpace, SearchSpace],
    candidates: Candidates,
    beliefs: LimitBeliefs | Unfit,
    accuracy: Surrogate | Unfit,
) -> tuple[Influence, ...]:
    """Return each parameter's total share of the variance of the two models, over uniform draws (Jansen, 1999)."""
    rng = stream(study, "influence")
    names = [parameter.name for space in spaces for parameter in space.parameters]
    first, second = (rng.random((_DRAWS, len(names))) for _ in range(2))

    def shares(model: Surrogate | None) -> list[float | None]:
        return [None] * len(names) if model is None else list(_shares(first, second, lambda unit: _mean(model, candidates, spaces, unit)))

    latency = None
    if not isinstance(beliefs, Unfit):
        limits = [slack.limit for slack in readings(study)[0].slacks]
        latency = next((model for model, limit in zip(beliefs.models, limits, strict=True) if limit == "latency"), None)
    found = zip(names, shares(None if isinstance(accuracy, Unfit) else accuracy), shares(latency), strict=True)
    influences = [Influence(parameter=name, accuracy=a, latency=b) for name, a, b in found if a is not None or b is not None]
    return tuple(sorted(influences, key=lambda one: (-(one.accuracy or 0.0), -(one.latency or 0.0))))


def _shares(first: Rows, second: Rows, mean: Callable[[Rows], Rows]) -> Sequence[float]:
    """Return the mean square by which the function changes as one coordinate is drawn anew, over twice its variance."""
    base = mean(first)
    variance = float(base.var())
    if variance <= 0:
        return [0.0] * first.shape[1]
    changed = []
    for j in range(first.shape[1]):
        mixed = first.copy()
        mixed[:, j] = second[:, j]
        changed.append(min(1.0, float(((mean(mixed) - base) ** 2).mean()) / (2 * variance)))
    return changed


def _mean(model: Surrogate, candidates: Candidates, spaces: tuple[SearchSpace, SearchSpace], unit: Rows) -> Rows:
    """Return the model's mean ``(n,)`` at positions in both unit cubes, side by side ``(n, d)``."""
    split = len(spaces[0])
    pairs: list[tuple[Point, Point]] = [(spaces[0].at(row[:split]), spaces[1].at(row[split:])) for row in unit.tolist()]
    return np.asarray(predict(model, candidates.rows(pairs))[0].numpy())
