"""Gaussian processes in BoTorch: what is believed of readings and accuracies, and how sure that is.

Notation: x (n, d) rows of candidates, y (n,) observations, all in double precision.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from botorch.exceptions.warnings import BotorchWarning
from botorch.models import SingleTaskGP
from botorch.models.transforms.input import FilterFeatures
from botorch.models.transforms.outcome import Standardize
from gpytorch.means import Mean, ZeroMean
from linear_operator.utils.warnings import NumericalWarning
from scipy.linalg import LinAlgError
from threadpoolctl import threadpool_limits
from torch import Tensor

from autokd_edge.search.encode import Rows
from autokd_edge.search.kernel import MixedKernel
from autokd_edge.search.likelihood import most_probable

# Observations that length scales and noise are fitted to, spread over the study; all of them are then conditioned on.
_MOST_FITTED = 192
# Smallest standard deviation of a reading's logarithm: below 0.5 % no device repeats itself.
_LEAST_NOISE = 5e-3
# Share of an accuracy's variance that an equal study explains: accuracies on two data sets correlate by about 0.9.
_EXPLAINED = 0.8
# Rows that are predicted at once: kernels of this many rows stay in the cache, ten times as fast as 15,000.
_PART = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A model that could not be fitted, and why; the caller says so and falls back to chance."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Neighbouring columns of rows, from ``first`` on, and for each whether it goes by steps."""

    first: int
    stepped: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A mean function over the columns of another model: its mean less ``middle``, times ``slope``; in standardised units."""

    earlier: Surrogate
    slope: float
    middle: float

    @classmethod
    def along(cls, earlier: Surrogate, slope: float, x: Rows) -> Trend:
        """Return the trend that is 0 on the average of ``x (n, d)``."""
        return cls(earlier=earlier, slope=slope, middle=float(predict(earlier, x)[0].mean()))

    @property
    def left(self) -> float:
        """The share of the variance that the trend usually leaves to the function around it."""
        return 1 - _EXPLAINED * self.slope**2

    def at(self, columns: Tensor) -> Tensor:
        """Return the trend ``(..., n)`` at the columns ``(..., n, d)``; the earlier model looks at the first of them."""
        known = self.earlier
        columns = columns[..., : len(known.columns)]
        mean = known.middle + known.spread * (known.kernel.forward(columns, known.known) @ known.weights)
        return self.slope * (mean - self.middle)


class _TrendMean(Mean):
    def __init__(self, trend: Trend) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # gpytorch is not typed
        self._trend = trend

    def forward(self, x: Tensor) -> Tensor:
        return self._trend.at(x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate:
    """A fitted Gaussian process: BoTorch's model for acquisition functions, and what a fast prediction needs."""

    model: SingleTaskGP
    kernel: MixedKernel
    known: Tensor  # (n, d) the columns that are looked at
    factor: Tensor  # (n, n) lower Cholesky factor of the standardised observations' covariance
    weights: Tensor  # (n,) that covariance's inverse times the standardised observations
    columns: range
    middle: float
    spread: float
    log_posterior: float = 0.0
    trend: Trend | None = None


def fit(x: Rows, y: Rows, *, columns: Columns, noise: Rows | None = None, trend: Trend | None = None) -> Surrogate | Unfit:
    """Fit a Gaussian process to ``x (n, d)`` and ``y (n,)``.

    Of x only the ``columns`` are looked at. ``noise (n,)`` are known standard deviations in the unit of
    y. What the columns do not tell of y is learnt as further noise: two networks with equal columns
    may differ. What is fitted is the difference from the ``trend``, which must be of a model of the first of the columns.
    """
    if len(y) < 2:
        return Unfit(reason=f"a model needs at least 2 observations; got {len(y)}")
    chosen = range(columns.first, columns.first + len(columns.stepped))
    middle, spread = float(y.mean()), float(y.std(ddof=1)) or 1.0
    z = (y - middle) / spread
    rest = z if trend is None else z - trend.at(torch.from_numpy(x[:, chosen])).numpy()
    known = np.zeros(len(y)) if noise is None else (np.maximum(noise, _LEAST_NOISE) / spread) ** 2
    some = np.arange(len(y)) if len(y) <= _MOST_FITTED else np.linspace(0, len(y) - 1, _MOST_FITTED).round().astype(int)
    try:
        fitted = most_probable(
            x[some][:, chosen], rest[some], known[some], columns.stepped, usual_scale=1.0 if trend is None else trend.left
        )
        variance = torch.from_numpy(known + fitted.noise)
        kernel, rows = MixedKernel(columns.stepped, fitted), torch.from_numpy(x[:, chosen])
        factor, broken = torch.linalg.cholesky_ex(kernel.forward(rows, rows) + torch.diag(variance))
        if broken:
            raise LinAlgError(f"the covariance is not positive definite at row {int(broken)}")  # noqa: TRY301  the same end as SciPy's own
        weights = torch.cholesky_solve(torch.from_numpy(rest)[:, None], factor).squeeze(-1)
    except LinAlgError as error:
        return Unfit(reason=f"{type(error).__name__}: {error}")
    model = SingleTaskGP(
        torch.from_numpy(x),
        torch.from_numpy(y)[:, None],
        train_Yvar=variance[:, None] * spread**2,
        covar_module=kernel,
        mean_module=ZeroMean() if trend is None else _TrendMean(trend),  # type: ignore[no-untyped-call]  # gpytorch is not typed
        outcome_transform=Standardize(m=1),
        input_transform=FilterFeatures(feature_indices=torch.tensor(chosen)),
    )
    return Surrogate(
        model=model.eval(),
        kernel=kernel,
        known=rows,
        factor=factor,
        weights=weights,
        columns=chosen,
        middle=middle,
        spread=spread,
        log_posterior=fitted.log_posterior,
        trend=trend,
    )


def predict(surrogate: Surrogate, x: Rows) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``(n,)`` of the noiseless function at ``x (n, d)``.

    The numbers are those of the model's posterior, without the covariances between rows that it works out.
    """
    means, deviations = [], []
    for part in torch.split(torch.from_numpy(x[:, surrogate.columns]), _PART):
        shared = surrogate.kernel.forward(part, surrogate.known)  # (part, n)
        mean = shared @ surrogate.weights
        means.append(mean if surrogate.trend is None else mean + surrogate.trend.at(part))
        solved = torch.linalg.solve_triangular(surrogate.factor, shared.T, upper=False)
        deviations.append((surrogate.kernel.scale - (solved**2).sum(0)).clamp_min(1e-12).sqrt())
    return surrogate.middle + surrogate.spread * torch.cat(means), surrogate.spread * torch.cat(deviations)


def left_out(surrogate: Surrogate) -> float:
    """Return the share of the observations' variance that is predicted when each is left out in turn; below 0 where none is.

    (Rasmussen and Williams, 2006, section 5.4.2: the error of one left out is its weight over the inverse's diagonal.)
    """
    inverse = torch.cholesky_inverse(surrogate.factor)
    error = surrogate.weights / inverse.diagonal()
    observed = surrogate.factor @ (surrogate.factor.T @ surrogate.weights)
    return 1 - float((error**2).sum() / (observed**2).sum().clamp_min(1e-12))


@contextmanager
def steady() -> Iterator[None]:
    """Compute on one thread, from one state of torch's generator, silent of small data and jitter added to a matrix.

    BoTorch draws from the global generator here and there (to prune a baseline, say): the same study
    must give the same choice whatever else was drawn in the process.

    One thread: matrices of a few hundred rows gain nothing from more, next to a training job they lose
    a factor of five, and the same study gives the same choices on any number of cores. That holds for
    numpy's and scipy's BLAS too. The numbers of threads are put back at the end.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
            for category in (BotorchWarning, NumericalWarning):
                warnings.simplefilter("ignore", category)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                yield
    finally:
        torch.set_num_threads(threads)
