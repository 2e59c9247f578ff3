"""HpBandSter's density estimate: a product of kernels, bandwidths by the normal reference rule, as in statsmodels.

Columns are positions in [0, 1] or, where ``levels`` is not 0, the index of a category. Bandwidths are
1.06 s n^(-1/(4 + d)); a number's kernel is Gaussian, a category's Aitchison and Aitken's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import truncnorm

_Array = NDArray[np.float64]

_LEAST_BANDWIDTH = 1e-3
_LEAST_DENSITY = 1e-32


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """An estimate from ``data (n, d)`` with ``bandwidths (d,)``; ``levels (d,)`` counts categories, 0 for a number."""

    data: _Array
    bandwidths: _Array
    levels: tuple[int, ...]

    def at(self, x: _Array) -> _Array:
        """Return the density at ``x (m, d)``, at least 1e-32."""
        kernels = np.ones((len(x), len(self.data)))
        for j, (width, levels) in enumerate(zip(self.bandwidths, self.levels, strict=True)):
            apart = x[:, None, j] - self.data[None, :, j]
            if levels:
                others = max(1, len(np.unique(self.data[:, j])) - 1)
                kernels *= np.where(apart == 0, 1 - width, width / others)
            else:
                kernels *= np.exp(-0.5 * (apart / width) ** 2) / np.sqrt(2 * np.pi) / width
        return np.asarray(np.maximum(_LEAST_DENSITY, kernels.mean(axis=1)))

    def draw(self, count: int, factor: float, rng: np.random.Generator) -> _Array:
        """Draw ``(count, d)`` around data, with numbers' bandwidths times ``factor`` and cut to [0, 1]."""
        drawn = self.data[rng.integers(len(self.data), size=count)].copy()
        for j, (width, levels) in enumerate(zip(self.bandwidths, self.levels, strict=True)):
            if levels:
                change = rng.random(count) >= 1 - width
                drawn[change, j] = rng.integers(levels, size=int(change.sum()))
            else:
                wide = factor * width
                drawn[:, j] = truncnorm.rvs(-drawn[:, j] / wide, (1 - drawn[:, j]) / wide, loc=drawn[:, j], scale=wide, random_state=rng)
        return drawn


def density(data: _Array, levels: Sequence[int]) -> Density:
    """Estimate from ``data (n, d)``; bandwidths are at least 1e-3, and those of categories at most 1."""
    count, dimensions = data.shape
    widths = np.maximum(_LEAST_BANDWIDTH, 1.06 * data.std(axis=0) * count ** (-1 / (4 + dimensions)))
    return Density(data=data, bandwidths=np.where(np.asarray(levels) > 0, np.minimum(1.0, widths), widths), levels=tuple(levels))
