"""Predict a positive quantity of a network from what is counted of its graph, and say how wrong that is.

Notation: C (n, d) counts, y (n,) recorded quantities, beta (d + 1,) non-negative costs of one count each and of a start.

The quantity is a sum of costs, y ~ beta_0 + C beta, fitted to the relative error by non-negative least squares (Lawson
and Hanson, 1974; scipy.optimize.nnls): no operation can make a network faster, and sums reach beyond what was recorded.
What is left, r = log y - log(beta_0 + C beta), is a Gaussian process over z = log(1 + C), standardised, with a squared
exponential kernel whose length, height and noise are the most probable of a grid (Rasmussen and Williams, 2006, 2.2).
Its error is that of ten folds, each fitted on the other nine in both steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autokd_edge.errors import InputError

FOLDS = 10
LEAST_NETWORKS = 30  # below it the tenth that a fold leaves out is two networks, and an error nothing that may be stated
# A network is beyond the recorded ones where one of its totals is more than this factor off their range.
BEYOND = 1.25
_LENGTHS = (0.5, 1.0, 2.0, 4.0)  # in standard deviations of a count, times the root of their number
_HEIGHTS = (0.05, 0.1, 0.2, 0.4)  # of the logarithm
_NOISES = (0.01, 0.02, 0.05, 0.1)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidated:
    """How the model did on networks that it was not fitted to; ``residuals`` are log(recorded / predicted), sorted."""

    residuals: tuple[float, ...]
    rank_correlation: float  # Spearman's

    @property
    def mean_error(self) -> float:
        """Mean of |predicted / recorded - 1|."""
        return float(np.mean(self._errors))

    @property
    def p90_error(self) -> float:
        """Nine of ten networks are predicted better."""
        return float(np.quantile(self._errors, 0.9))

    @property
    def _errors(self) -> Array:
        found: Array = np.abs(np.exp(-np.array(self.residuals)) - 1)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CountModel:
    """A fitted model; ``names`` are the counts in the order of the columns."""

    names: tuple[str, ...]
    costs: Array  # (d + 1,)
    shift: Array  # (d,)
    scale: Array  # (d,)
    known: Array  # (n, d) standardised logarithms
    weights: Array  # (n,)
    length: float
    height: float

    def predict(self, counts: Mapping[str, int]) -> float:
        """Predict the quantity of one network; a kind of operation that was never recorded costs nothing."""
        row = np.array([[counts.get(name, 0) for name in self.names]], np.float64)  # (1, d)
        return float(self._rows(row)[0])

    def _rows(self, counts: Array) -> Array:
        z = (np.log1p(counts) - self.shift) / self.scale
        covariance = _kernel(z, self.known, self.length, self.height)  # (m, n)
        found: Array = _summed(counts, self.costs) * np.exp(covariance @ self.weights)
        return found


def fitted(counts: Sequence[Mapping[str, int]], quantities: Sequence[float]) -> tuple[CountModel, CrossValidated]:
    """Fit a model and cross-validate it; the folds are every tenth network, so that equal recordings give equal errors.

    Raises:
        InputError: there are too few networks.
    """
    if len(counts) < LEAST_NETWORKS:
        raise InputError(
            f"readings must be recorded of {LEAST_NETWORKS} networks to predict others; there are {len(counts)}",
            hint="python tools/record_readings.py --count 150",
        )
    names = tuple(sorted({name for one in counts for name in one}))
    rows = np.array([[one.get(name, 0) for name in names] for one in counts], np.float64)  # (n, d)
    y = np.array(quantities, np.float64)
    predicted = np.empty_like(y)
    for fold in range(FOLDS):
        out = np.arange(len(y)) % FOLDS == fold
        predicted[out] = _fit(names, rows[~out], y[~out])._rows(rows[out])  # noqa: SLF001  many rows at once
    residuals = tuple(sorted(float(r) for r in np.log(y / predicted)))
    return _fit(names, rows, y), CrossValidated(residuals=residuals, rank_correlation=_rank_correlation(y, predicted))


def _fit(names: tuple[str, ...], rows: Array, y: Array) -> CountModel:
    from scipy.optimize import nnls

    design = np.column_stack([np.ones(len(y)), rows]) / y[:, None]  # relative error: every row is to give 1
    size = np.linalg.norm(design, axis=0)
    size[size == 0] = 1.0
    costs: Array = nnls(design / size, np.ones(len(y)))[0] / size
    left = np.log(y / _summed(rows, costs))
    logs = np.log1p(rows)
    scale = logs.std(axis=0)
    scale[scale == 0] = 1.0
    z = (logs - logs.mean(axis=0)) / scale
    length, height, weights = _most_probable(z, left)
    return CountModel(
        names=names, costs=costs, shift=logs.mean(axis=0), scale=scale, known=z, weights=weights, length=length, height=height
    )


def _summed(rows: Array, costs: Array) -> Array:
    found: Array = costs[0] + rows @ costs[1:]
    return np.maximum(found, 1e-9)


def _most_probable(z: Array, left: Array) -> tuple[float, float, Array]:
    """Return length and height of the kernel, and the inverse covariance times what is left: the most probable of the grid."""
    best = (-math.inf, _LENGTHS[0], _HEIGHTS[0], np.zeros(len(left)))
    for length in _LENGTHS:
        unit = _kernel(z, z, length, 1.0)
        for height in _HEIGHTS:
            for noise in _NOISES:
                factor = np.linalg.cholesky(height**2 * unit + noise**2 * np.eye(len(left)))
                half = np.linalg.solve(factor, left)
                likelihood = float(-half @ half / 2 - np.log(np.diag(factor)).sum())
                if likelihood > best[0]:
                    best = (likelihood, length, height, np.linalg.solve(factor.T, half))
    return best[1:]


def _kernel(one: Array, other: Array, length: float, height: float) -> Array:
    squares = ((one[:, None, :] - other[None, :, :]) ** 2).mean(axis=2)  # (m, n)
    found: Array = height**2 * np.exp(-squares / (2 * length**2))
    return found


def _rank_correlation(one: Array, other: Array) -> float:
    first, second = (np.argsort(np.argsort(values)) - (len(one) - 1) / 2 for values in (one, other))
    return float(first @ second / (first @ first))
