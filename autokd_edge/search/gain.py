"""What counts as an improvement: a better student, or a wider front of them.

Notation: x (n, d) rows of candidates; baseline (m, d) those of the pupils that were taught and fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from torch import Tensor

from autokd_edge.search import acquisition
from autokd_edge.search.encode import Rows
from autokd_edge.search.front import Reference
from autokd_edge.search.hypervolume import steps_of
from autokd_edge.search.surrogate import Surrogate, predict

_PART = 512  # rows whose improvement over all cells is worked out at once
# Taught pupils that an improvement is over. BoTorch draws 2,048 times from all of them together to leave out those that are
# never the best, for each choice of a batch again; who is behind 64 others is not, and with 1,000 that took half of the time.
MOST_BASELINE = 64


class Gain(Protocol):
    """An improvement by two measures: an analytic one for thousands of rows, and BoTorch's for the best of those."""

    def sift(self, x: Rows, log_weight: Tensor | None, most: int) -> Tensor:
        """Return indices of the ``most`` rows that promise most, best first; ``log_weight (n,)`` is added to the logarithm."""

    def function(self, limits: Sequence[Surrogate], seed: int) -> AcquisitionFunction:
        """Return the acquisition function; ``limits`` are models of log(reading / limit)."""

    @property
    def joint(self) -> int:
        """How many candidates of a batch are chosen one given another; the rest of a larger batch follows the sift's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Better:
    """An accuracy above the best one; ``pending (k, d)`` are rows of pupils that are being taught."""

    model: Surrogate
    baseline: Rows
    pending: Rows | None = None

    def sift(self, x: Rows, log_weight: Tensor | None, most: int) -> Tensor:
        """Order by analytic expected improvement."""
        return acquisition.sift(self.model, x, self.baseline, log_weight, most)

    def function(self, limits: Sequence[Surrogate], seed: int) -> AcquisitionFunction:
        """Return constrained qLogNEI."""
        return acquisition.improving(self.model, limits, self._leading(), seed, self.pending)

    @property
    def joint(self) -> int:
        """A batch of the usual size."""
        return 8

    def _leading(self) -> Rows:
        """Return the rows of the baseline with the highest predicted accuracies, in their order."""
        if len(self.baseline) <= MOST_BASELINE:
            return self.baseline
        best = torch.topk(predict(self.model, self.baseline)[0], MOST_BASELINE).indices
        return np.asarray(self.baseline[np.sort(best.numpy())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wider:
    """More hypervolume between the front and the reference point.

    ``costs`` are models of the log costs; where there is none the costs were measured, and lie in the last columns of rows.
    """

    model: Surrogate
    baseline: Rows
    reference: Reference
    costs: tuple[Surrogate, ...] = ()

    def sift(self, x: Rows, log_weight: Tensor | None, most: int) -> Tensor:
        """Order by expected hypervolume improvement over the posterior means of the baseline, costs taken at theirs.

        Over a cell of costs that a candidate dominates, it improves the front as far as its accuracy is above the cell's
        height: a sum of expected improvements, each times the part of the cell.
        """
        values, costs = predict(self.model, self.baseline)[0].numpy(), self._log_costs(self.baseline)
        kept = ~_beaters(values, costs).any(axis=1)
        steps = steps_of(values[kept], costs[kept], floor=self.reference.floor, worst=self.reference.worst)
        heights, found = torch.from_numpy(steps.heights), []
        mean, deviation = predict(self.model, x)
        reached = self._log_costs(x)
        for i in range(0, len(x), _PART):
            part = slice(i, i + _PART)
            spread = deviation[part, None]
            log_sides = torch.from_numpy(steps.reached(reached[part])).log()
            improvement = acquisition.log_improvement((mean[part, None] - heights) / spread) + spread.log()
            found.append(torch.logsumexp(log_sides + improvement, dim=1))
        value = torch.cat(found)
        return torch.topk(value if log_weight is None else value + log_weight, min(most, len(x))).indices

    def function(self, limits: Sequence[Surrogate], seed: int) -> AcquisitionFunction:
        """Return constrained qLogNEHVI."""
        point = torch.tensor([self.reference.floor, *(-self.reference.worst).tolist()], dtype=torch.float64)
        return acquisition.widening(self.model, self.costs, limits, self._leading(), point, seed)

    @property
    def joint(self) -> int:
        """Half a batch, with two costs a quarter: after each, every draw's front is cut into boxes again, for up to half a second."""
        return 4 if len(self.reference.worst) == 1 else 2

    def _leading(self) -> Rows:
        """Return the rows of the baseline that the fewest others beat by their means, in their order: the front is among them."""
        if len(self.baseline) <= MOST_BASELINE:
            return self.baseline
        beaten = _beaters(predict(self.model, self.baseline)[0].numpy(), self._log_costs(self.baseline)).sum(axis=1)
        return np.asarray(self.baseline[np.sort(np.argsort(beaten, kind="stable")[:MOST_BASELINE])])

    def _log_costs(self, x: Rows) -> Rows:
        if not self.costs:
            return x[:, -len(self.reference.worst) :]
        return np.column_stack([predict(model, x)[0].numpy() for model in self.costs])


def _beaters(values: Rows, costs: Rows) -> np.typing.NDArray[np.bool_]:
    """Say of each candidate which others are better in value and in no cost worse, ``(n, n)``."""
    cheaper = (costs[None] <= costs[:, None]).all(axis=2)
    return np.asarray(cheaper & (values[None] > values[:, None]))
