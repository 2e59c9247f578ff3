"""Constrained Bayesian optimisation that asks the device first: the default strategy, ``edge-bo``.

Probes: a Sobol design, then the maximisers of constrained qLogNEI over random points and local moves
(of the probability to fit while nothing fits, and then half of a batch at random). Teachings: the largest expected improvement among the
members that were *measured* to fit, each with a set of distillation points.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from scipy.spatial.distance import cdist
from torch import Tensor

from autokd_edge.core.measure import NOISY
from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.space import Point, SearchSpace, Value
from autokd_edge.core.study import Study
from autokd_edge.search import acquisition
from autokd_edge.search.accuracies import Accuracies, at_end, lessons_needed
from autokd_edge.search.beliefs import LimitBeliefs, capacities, limit_beliefs
from autokd_edge.search.candidates import GUESS, Candidates
from autokd_edge.search.draw import stream
from autokd_edge.search.encode import Describe, Rows
from autokd_edge.search.gain import Better, Gain
from autokd_edge.search.history import Reading, fitting, judged, readings, running, tried
from autokd_edge.search.ladder import Paused
from autokd_edge.search.prior import recalled_model
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.surrogate import Surrogate, Unfit, fit, predict, steady

_log = logging.getLogger(__name__)

_DESIGN = 16  # Sobol points before the first model: about two a parameter
_SHORT = 96  # candidates that the Monte Carlo acquisition looks at, after an analytic sift
_LOG_EVEN = math.log(0.5)
_JOINT = 8  # candidates of a batch that are chosen jointly while nothing fits; the rest of a larger batch follows in order

T = TypeVar("T")


class EdgeBO:
    """The default strategy.

    ``guess`` holds the distillation parameters that are tried first; ``describe`` adds columns of its
    own to each architecture.
    """

    def __init__(
        self,
        architectures: SearchSpace,
        distillations: SearchSpace,
        *,
        guess: Mapping[str, Value] = GUESS,
        describe: Describe | None = None,
    ) -> None:
        self._candidates = Candidates(architectures, distillations, guess=guess, describe=describe)
        self._accuracies = Accuracies(self._candidates)
        self._random = RandomChooser(architectures, distillations)

    def probe(self, study: Study, count: int) -> tuple[Member, ...]:
        """Return ``count`` new members: a Sobol design at first, then what the models say."""
        if len(study.probes) < _DESIGN:
            points = self._candidates.design(study, count)
        else:
            with steady():
                points = self._guided(study, count)
        return tuple(Member(architecture=point, index=0) for point in points)

    def teach(self, study: Study) -> Pupil | None:
        """Return the pupil with the largest expected improvement among the members that were measured to fit."""
        with steady():
            members = self._trusted(study, fitting(study))
            if not members:
                return None
            if len(judged(study)) < lessons_needed(study):
                return self._early_pupil(study, members)
            return self._improving_pupil(study, members)

    def promising(self, study: Study, among: Sequence[Paused]) -> Paused:
        """Return the one with the highest accuracy that the model predicts for the end of its teaching."""
        with steady():
            model, _ = self._accuracies.model(study)
            if isinstance(model, Unfit):
                return self._random.promising(study, among)
            mean, _ = predict(model, self._accuracies.ends(study, [one.pupil for one in among]))
        return among[int(mean.argmax())]

    def _trusted(self, study: Study, members: Sequence[Reading]) -> Sequence[Reading]:
        """Leave out the members that keep the limits by a noisy reading alone: where the models of the limits say otherwise.

        A large network that was read too fast looks like the best that fits; all of its teaching would be lost.
        """
        doubtful = [reading for reading in members if NOISY in reading.measurement.flags]
        if not doubtful:
            return members
        beliefs = limit_beliefs(study, readings(study), self._candidates)
        if isinstance(beliefs, Unfit):
            return members
        rows = self._candidates.architecture_rows([reading.member.architecture for reading in doubtful])
        log_fits = beliefs.log_probability(at_end(study, self._candidates.with_distillation(rows, self._candidates.guess)))
        refuted = {reading.member for reading, log_p in zip(doubtful, log_fits.tolist(), strict=True) if log_p < _LOG_EVEN}
        return [reading for reading in members if reading.member not in refuted]

    def _guided(self, study: Study, count: int) -> list[Point]:
        known = readings(study)
        beliefs = limit_beliefs(study, known, self._candidates)
        if isinstance(beliefs, Unfit):
            return _by_chance("probing", beliefs, self._candidates.chance(study, count))
        points, rows = self._candidates.pool(study, known)
        if not points:
            return []
        x = at_end(study, self._candidates.with_distillation(rows, self._candidates.best_distillation(study)))
        log_fits = beliefs.log_probability(x)
        if not any(reading.fits for reading in known):
            return self._hoped_for(study, points, x, beliefs, log_fits, count)
        model, baseline = self._accuracies.model(study)
        if isinstance(model, Unfit):
            return [points[i] for i in self._likely(study, known, x, log_fits, count)]
        gain = self._unread_gain(study, known, model, baseline)
        if isinstance(gain, Unfit):
            return _by_chance("probing", gain, self._candidates.chance(study, count))
        order = gain.sift(x, log_fits, max(_SHORT, count))
        return [points[i] for i in _jointly(gain.function(beliefs.models, study.config.seed), x, order, beliefs, count, gain.joint)]

    def _unread_gain(self, study: Study, known: Sequence[Reading], model: Surrogate, baseline: Rows) -> Gain | Unfit:  # noqa: ARG002  a front's
        """Return what counts as an improvement by candidates that were not probed."""
        return Better(model=model, baseline=baseline, pending=self._pending(study))

    def _read_gain(self, study: Study, model: Surrogate, baseline: Rows) -> Gain:
        """Return what counts as an improvement by members that were measured."""
        return Better(model=model, baseline=baseline, pending=self._pending(study))

    def _with_costs(self, study: Study, x: Rows, members: Sequence[Reading]) -> Rows:  # noqa: ARG002  a front's
        """Return the rows of measured members with what else an improvement is counted by; for one best student, nothing."""
        return x

    def _pending(self, study: Study) -> Rows | None:
        """Return the rows of the pupils that are being taught; None where nobody is."""
        pupils = running(study)
        return self._accuracies.ends(study, pupils) if pupils else None

    def _hoped_for(
        self, study: Study, points: Sequence[Point], x: Rows, beliefs: LimitBeliefs, log_fits: Tensor, count: int
    ) -> list[Point]:
        """Return half a batch at random, half where it is most probable to fit.

        While nothing fits, the models have seen only one side of the limit, and what builds is rare where
        they send a whole batch: 1,800 probes were lost so on a device that builds one network in eight.
        """
        chance = self._candidates.chance(study, (count + 1) // 2)
        order = torch.topk(log_fits, min(max(_SHORT, count), len(x))).indices
        chosen = order.tolist()
        if beliefs.models:
            chosen = _jointly(acquisition.fitting(beliefs.models, study.config.seed), x, order, beliefs, count, _JOINT)
        return list(dict.fromkeys([*chance, *(points[i] for i in chosen)]))[:count]

    def _likely(self, study: Study, known: Sequence[Reading], x: Rows, log_fits: Tensor, count: int) -> list[int]:
        """Draw candidates by their probability to fit: half of them a fair sample, half leaning to large networks.

        Size helps as a rule, but a search that follows it alone ends among large networks that learn badly.
        """
        gumbel = torch.from_numpy(stream(study, "likely").gumbel(size=len(x)))  # largest log p + Gumbel noise: a draw by p
        fair = torch.topk(log_fits + gumbel, min((count + 1) // 2, len(x))).indices
        log_large = log_fits + gumbel + self._log_promising(study, known, x)
        log_large[fair] = -torch.inf
        large = torch.topk(log_large, min(count, len(x)) - len(fair)).indices
        return [*fair.tolist(), *large.tolist()]

    def _log_promising(self, study: Study, known: Sequence[Reading], x: Rows) -> Tensor:
        """Return log P(better than half of what fits) ``(n,)`` by an earlier study, by size where there is none."""
        earlier = recalled_model(study.config.recalled, self._candidates)
        if earlier is None:
            return self._log_large(known, x)
        rows = self._candidates.architecture_rows([reading.member.architecture for reading in known if reading.fits])
        middle = predict(earlier, self._candidates.with_distillation(rows, self._candidates.guess))[0].median()
        mean, deviation = predict(earlier, x)
        log_better: Tensor = torch.special.log_ndtr((mean - middle) / deviation)
        return log_better

    def _log_large(self, known: Sequence[Reading], x: Rows) -> Tensor:
        """Return log P(larger than half of what fits) ``(n,)``; 0 where size cannot be modelled."""
        rows = self._candidates.architecture_rows([reading.member.architecture for reading in known])
        size = capacities(known)
        model = fit(self._candidates.with_distillation(rows, self._candidates.guess), size, columns=self._candidates.limit_columns)
        if isinstance(model, Unfit):
            return torch.zeros(len(x), dtype=torch.float64)
        mean, deviation = predict(model, x)
        middle = float(np.median(size[[reading.fits for reading in known]]))
        log_large: Tensor = torch.special.log_ndtr((mean - middle) / deviation)
        return log_large

    def _early_pupil(self, study: Study, members: Sequence[Reading]) -> Pupil | None:
        """Return the largest network that fits; then, of the larger half, the one that stands for the most of those that fit.

        The user's own guess or an earlier study's best goes first, with the guessed distillation. A model of
        networks that are alike sees nothing beyond them, and networks unlike all others say little of those.
        """
        done = tried(study)
        size = capacities(members)
        guess = self._candidates.start_distillations(study)[0]
        pupils = [Pupil(member=reading.member, distillation=guess) for reading in members]
        if not done:
            return self._first_pupil(study, pupils, size)
        free = [pupil for pupil, s in zip(pupils, size, strict=True) if s >= np.median(size) and pupil not in done]
        free = free or [pupil for pupil in pupils if pupil not in done]
        return free[int(self._left_uncovered(free, done).argmin())] if free else self._random.teach(study)

    def _first_pupil(self, study: Study, pupils: Sequence[Pupil], size: Rows) -> Pupil:
        earlier = recalled_model(study.config.recalled, self._candidates)
        if earlier is not None:
            rows = self._candidates.rows([(pupil.member.architecture, pupil.distillation) for pupil in pupils])
            size = predict(earlier, rows)[0].numpy()
        started = np.array([self._candidates.is_started(study, pupil.member.architecture) for pupil in pupils])
        return pupils[int(np.where(started == started.any(), size, -np.inf).argmax())]

    def _left_uncovered(self, pupils: Sequence[Pupil], done: Collection[Pupil]) -> Rows:
        """Return, were a pupil taught, how far all of them are from their nearest taught one, summed, ``(n,)``: k-medians, greedily."""
        columns = self._candidates.accuracy_columns
        new, old = (
            self._candidates.architecture_rows([pupil.member.architecture for pupil in group])[:, columns.first :]
            for group in (pupils, done)
        )
        nearest = cdist(new, old, "cityblock").min(axis=1)
        return np.asarray(np.minimum(cdist(new, new, "cityblock"), nearest).sum(axis=1))

    def _improving_pupil(self, study: Study, members: Sequence[Reading]) -> Pupil | None:
        model, baseline = self._accuracies.model(study)
        if isinstance(model, Unfit):
            return _by_chance("teaching", model, self._random.teach(study))
        rows = self._candidates.architecture_rows([reading.member.architecture for reading in members])
        x = at_end(study, self._candidates.with_distillation(rows, self._candidates.best_distillation(study)))
        gain, done = self._read_gain(study, model, baseline), tried(study)
        likely = [members[i] for i in gain.sift(self._with_costs(study, x, members), None, _SHORT).tolist()]
        points = self._candidates.distillations(study)
        pairs = [(reading, Pupil(member=reading.member, distillation=point)) for reading in likely for point in points]
        pairs = [(reading, pupil) for reading, pupil in pairs if pupil not in done]
        if not pairs:
            return self._random.teach(study)
        pupils = [pupil for _, pupil in pairs]
        x = self._with_costs(study, self._accuracies.ends(study, pupils), [reading for reading, _ in pairs])
        short = gain.sift(x, None, _SHORT)
        function = gain.function((), study.config.seed)
        return pupils[int(short[acquisition.take(function, torch.from_numpy(x)[short], 1)[0]])]


def _jointly(function: AcquisitionFunction, x: Rows, order: Tensor, beliefs: LimitBeliefs, count: int, joint: int) -> list[int]:
    """Return ``count`` rows: ``joint`` of the first of ``order`` by the acquisition function, one given another, then in that order."""
    short = order[:_SHORT]
    log_builds = beliefs.log_building(x[short.numpy()])
    first = short[acquisition.take(function, torch.from_numpy(x)[short], min(count, joint), log_builds)]
    return [int(i) for i in torch.cat([first, order[~torch.isin(order, first)]])[:count]]


def _by_chance(what: str, unfit: Unfit, chosen: T) -> T:
    """Say that a choice was left to chance, and why."""
    _log.warning("the choice for %s was left to chance: %s", what, unfit.reason)
    return chosen
