"""Gaussian processes in BoTorch: what is believed of readings and accuracies, and how sure that is.

Notation: x (n, d) rows of an encoder, y (n, 1) observations, all in double precision. Kernels and
priors are BoTorch's defaults (RBF with one length scale for each column and the dimension-scaled
log-normal prior of Hvarfner et al., 2024, arXiv 2402.02229).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from botorch.exceptions.errors import InputDataError, ModelFittingError
from botorch.exceptions.warnings import InputDataWarning, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms.input import FilterFeatures
from botorch.models.transforms.outcome import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.errors import NanError, NotPSDError
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from autokd_edge.search.encode import Rows

# L-BFGS steps of a fit: the likelihood of these small data sets is flat after about 40, and the limit of
# 2 s for a choice does not allow the thousands that SciPy would take.
_MOST_STEPS = 50
# Smallest standard deviation of a reading's logarithm: below 0.5 % no device repeats itself.
_LEAST_NOISE = 5e-3
# Rows that are predicted at once: kernels of this many rows stay in the cache, ten times as fast as 15,000.
_PART = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A model that could not be fitted, and why; the caller says so and falls back to chance."""

    reason: str


def fit(x: Rows, y: Rows, *, columns: range, noise: Rows | None = None) -> SingleTaskGP | Unfit:
    """Fit a Gaussian process to ``x (n, d)`` and ``y (n,)``.

    Of x only the ``columns`` are looked at. ``noise (n,)`` are known standard deviations in the unit of
    y; without them the noise is learnt.
    """
    if len(y) < 2:
        return Unfit(reason=f"a model needs at least 2 observations; got {len(y)}")
    variance = None if noise is None else torch.from_numpy(np.maximum(noise, _LEAST_NOISE) ** 2)[:, None]
    try:
        model = SingleTaskGP(
            torch.from_numpy(x),
            torch.from_numpy(y)[:, None],
            train_Yvar=variance,
            outcome_transform=Standardize(m=1),
            input_transform=FilterFeatures(feature_indices=torch.tensor(columns)),
        )
        likelihood = ExactMarginalLogLikelihood(model.likelihood, model)  # type: ignore[no-untyped-call]  # gpytorch is not typed
        fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": _MOST_STEPS}})
    except (InputDataError, ModelFittingError, NotPSDError, NanError) as error:
        return Unfit(reason=f"{type(error).__name__}: {error}")
    return model


def compressed(y: Rows) -> Rows:
    """Measure accuracies ``(n,)`` from their median in robust standard deviations, and the low side by log(1 + distance).

    A network that hardly learns says nothing of the differences between good ones, but it would
    stretch the scale until they vanish. The order is kept. 1.4826 makes the median absolute deviation
    a standard deviation where errors are normal.
    """
    middle = np.median(y)
    deviation = 1.4826 * float(np.median(np.abs(y - middle)))
    distance = (y - middle) / (deviation if deviation > 0 else 1.0)
    return below_compressed(distance)


def below_compressed(y: Rows) -> Rows:
    """Replace what is below 0 by -log(1 - y): the sign and the order are kept, depth counts less and less."""
    return np.where(y < 0, -np.log1p(np.maximum(-y, 0.0)), y)


def predict(model: SingleTaskGP, x: Rows) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``(n,)`` of the noiseless function at ``x (n, d)``."""
    means, deviations = [], []
    with torch.no_grad():
        for part in torch.split(torch.from_numpy(x), _PART):
            posterior = model.posterior(part)
            means.append(posterior.mean.squeeze(-1))
            deviations.append(posterior.variance.clamp_min(1e-12).sqrt().squeeze(-1))
    return torch.cat(means), torch.cat(deviations)


@contextmanager
def steady() -> Iterator[None]:
    """Compute on one thread, and silence what BoTorch says of small data and of jitter added to a matrix.

    One thread: matrices of a few hundred rows gain nothing from more, next to a training job they lose
    a factor of five, and the same study gives the same choices on any number of cores. The number of
    threads is put back at the end.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            for category in (InputDataWarning, OptimizationWarning, NumericalWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        torch.set_num_threads(threads)
