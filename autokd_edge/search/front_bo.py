"""``edge-bo`` for a front of students (``--pareto``): probes and teachings that add most hypervolume.

As in ``edge-bo``, with qLogNEHVI in place of qLogNEI. What a candidate costs on the device is modelled while it was not
probed; among what was measured it is known, and only the accuracy is uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autokd_edge.core.front import non_dominated
from autokd_edge.core.pupil import Pupil
from autokd_edge.core.study import Study
from autokd_edge.search.beliefs import cost_models
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.encode import Rows
from autokd_edge.search.front import log_costs, member_costs, pupils_of, reference_of
from autokd_edge.search.gain import Gain, Wider
from autokd_edge.search.history import Reading, judged, tried
from autokd_edge.search.surrogate import Surrogate, Unfit


class FrontBO(EdgeBO):
    """The default strategy, for a goal with a front."""

    def _early_pupil(self, study: Study, members: Sequence[Reading]) -> Pupil | None:
        """Return the early pupil of all that fits, then that of the faster half, then of the fastest quarter, and again.

        A model of large networks alone sees nothing of the fast end of the front.
        """
        by_latency = sorted(members, key=lambda reading: reading.latency)
        return super()._early_pupil(study, by_latency[: max(1, len(by_latency) >> len(tried(study)) % 3)])

    def _unread_gain(self, study: Study, known: Sequence[Reading], model: Surrogate, baseline: Rows) -> Gain | Unfit:
        costs = cost_models(study, known, self._candidates)
        if isinstance(costs, Unfit):
            return costs
        return self._wider(study, model, baseline, costs)

    def _read_gain(self, study: Study, model: Surrogate, baseline: Rows) -> Gain:
        return self._wider(study, model, np.concatenate([baseline, log_costs(pupils_of(study))], axis=1), ())

    def _with_costs(self, study: Study, x: Rows, members: Sequence[Reading]) -> Rows:
        costs = member_costs(study)
        return np.concatenate([x, np.log([costs[reading.member] for reading in members])], axis=1)

    def _wider(self, study: Study, model: Surrogate, baseline: Rows, costs: tuple[Surrogate, ...]) -> Wider:
        accuracies = np.array([accuracy for _, accuracy in judged(study)])
        reference = reference_of(study, non_dominated(pupils_of(study)), accuracies)
        return Wider(model=model, baseline=baseline, reference=reference, costs=costs)
