"""The covariance of the surrogates: smooth along numbers, by steps along categories and counts.

    k(x, x') = s exp(-1/2 sum_i ((x_i - x'_i) / l_i)^2 - sum_j |x_j - x'_j| / l_j)

over numeric columns i and stepped columns j: an RBF kernel times an exponential one, which on one-hot
columns is the Hamming kernel with a weight for each category. The hyperparameters are fitted elsewhere
(``likelihood``) and fixed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from gpytorch.kernels import Kernel
from torch import Tensor

from autokd_edge.search.likelihood import Hyperparameters


class MixedKernel(Kernel):
    """Covariance over columns of which some are ``stepped``, with fixed hyperparameters."""

    def __init__(self, stepped: Sequence[bool], fitted: Hyperparameters) -> None:
        super().__init__()
        steps = np.asarray(stepped, dtype=bool)
        self.scale = fitted.scale
        self._stepped, self._numeric = (torch.from_numpy(np.flatnonzero(chosen)) for chosen in (steps, ~steps))
        self._inverse = torch.from_numpy(1 / fitted.lengths)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, last_dim_is_batch: bool = False, **_: object) -> Tensor:
        """Return the covariance ``(..., n, m)`` of x1 ``(..., n, d)`` and x2 ``(..., m, d)``, or its diagonal."""
        assert not last_dim_is_batch, "columns are not independent here"
        a, b = x1 * self._inverse, x2 * self._inverse
        if diag:
            steps = (a - b)[..., self._stepped].abs().sum(-1)
            return self.scale * torch.exp(-0.5 * ((a - b)[..., self._numeric] ** 2).sum(-1) - steps)
        steps = torch.cdist(a[..., self._stepped], b[..., self._stepped], p=1)
        p, q = a[..., self._numeric], b[..., self._numeric]
        squares = (p**2).sum(-1, keepdim=True) + (q**2).sum(-1).unsqueeze(-2) - 2 * p @ q.transpose(-1, -2)
        return self.scale * torch.exp(-0.5 * squares.clamp_min(0.0) - steps)
