"""Hyperparameters of the mixed kernel: the maximum of their posterior, found by analytic gradients.

    K = s exp(-1/2 sum_i ((x_i - x'_i) / l_i)^2 - sum_j |x_j - x'_j| / l_j) + diag(v + n)

over numeric columns i and stepped columns j, with v the known variances of the observations. Priors:
log l normal, with the dimension-scaled location of Hvarfner et al. (2024, arXiv 2402.02229) and its
standard deviation sqrt(3): a sum of d squares grows as d, so l of numeric columns grows as sqrt(d); a
sum of d steps grows as d, and so does l. log n normal around -4, log s around 0, each with deviation 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

_Array = NDArray[np.float64]

_LENGTH_SPREAD = math.sqrt(3)
_LOG_NOISE = -4.0
_JITTER = 1e-6  # added to the diagonal: equal rows must not make the matrix singular
# L-BFGS steps: the posterior of these small data sets is flat after about 40.
_MOST_STEPS = 50
_LOG_LENGTHS, _LOG_SCALES, _LOG_NOISES = (math.log(0.025), 6.0), (-3.0, 3.0), (-9.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Length scales ``(d,)``, variance of the function and variance of the noise, in units of standardised y."""

    lengths: _Array
    scale: float
    noise: float
    log_posterior: float = 0.0  # up to a constant of the data and the columns


def length_locations(stepped: Sequence[bool]) -> _Array:
    """Return the prior's location of log l for each column, ``(d,)``."""
    count = len(stepped)
    return np.array([math.log(count) if step else math.sqrt(2) + 0.5 * math.log(count) for step in stepped])


def most_probable(x: _Array, y: _Array, known: _Array, stepped: Sequence[bool], *, usual_scale: float = 1.0) -> Hyperparameters:
    """Fit to standardised ``y (n,)`` at ``x (n, d)`` with known variances ``known (n,)``; ``usual_scale`` is the prior's of s.

    Raises:
        LinAlgError: the covariance of the result is singular, or y is not finite.
    """
    if not np.isfinite(y).all():
        raise LinAlgError("observations must be finite")
    varies = np.ptp(x, axis=0) > 0  # a column that is constant says nothing of its length scale
    located = length_locations(stepped)
    posterior = _Posterior(x[:, varies], y, known, np.asarray(stepped)[varies], np.append(located[varies], math.log(usual_scale)))
    start = np.concatenate([located[varies] - 1.0, [math.log(usual_scale), _LOG_NOISE]])
    bounds = [*[_LOG_LENGTHS] * int(varies.sum()), _LOG_SCALES, _LOG_NOISES]
    found = minimize(posterior, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_STEPS})
    lengths = np.exp(located)
    lengths[varies] = np.exp(found.x[:-2])
    return Hyperparameters(
        lengths=lengths, scale=float(np.exp(found.x[-2])), noise=float(np.exp(found.x[-1])) + _JITTER, log_posterior=-float(found.fun)
    )


class _Posterior:
    """Minus the log posterior of (log l, log s, log n), up to a constant, and its gradient."""

    def __init__(self, x: _Array, y: _Array, known: _Array, stepped: NDArray[np.bool_], located: _Array) -> None:
        difference = np.abs(x.T[:, :, None] - x.T[:, None, :])  # (d, n, n)
        self._distances = np.where(stepped[:, None, None], difference, 0.5 * difference**2).reshape(len(stepped), len(y) ** 2)
        self._power = np.where(stepped, 1.0, 2.0)
        self._y, self._known = y, known
        self._middle = np.append(located, _LOG_NOISE)
        self._spread = np.concatenate([np.full(len(located) - 1, _LENGTH_SPREAD), [1.0, 1.0]])

    def __call__(self, p: _Array) -> tuple[float, _Array]:
        count = len(self._y)
        weights = np.exp(-self._power * p[:-2])
        smooth = np.exp(p[-2] - weights @ self._distances).reshape(count, count)
        factor = cho_factor(smooth + np.diag(self._known + np.exp(p[-1]) + _JITTER), lower=True)
        alpha, inverse = cho_solve(factor, self._y), cho_solve(factor, np.eye(count))
        pull = (p - self._middle) / self._spread
        value = 0.5 * self._y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * pull @ pull
        outer = 0.5 * (inverse - np.outer(alpha, alpha))
        felt = outer * smooth
        lengths = self._power * weights * (self._distances @ felt.reshape(-1))
        gradient = np.concatenate([lengths, [felt.sum(), np.exp(p[-1]) * np.trace(outer)]])
        return float(value), gradient + pull / self._spread
