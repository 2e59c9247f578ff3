"""Optuna's samplers as baselines: TPE and GP, told the limits as constraints (Watanabe and Hutter, 2023; Optuna 5).

Each proposal begins with a new Optuna study that is told the teachings so far, so that it is a pure
function of ours.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

from autokd_edge.core.pupil import Pupil
from autokd_edge.core.space import Choice, Integer, Ordinal, Parameter, Real, SearchSpace
from autokd_edge.core.study import Study
from autokd_edge.errors import InputError
from autokd_edge.search.draw import stream
from autokd_edge.search.history import asked, refused
from autokd_edge.search.joint_space import JointSpace, told
from autokd_edge.search.random_search import RandomProposer

if TYPE_CHECKING:
    import optuna

_TRIES = 8  # proposals that were taught already, before one is drawn at random: a repetition teaches nothing here


class OptunaProposer:
    """Proposals of Optuna's multivariate TPE or of its GP sampler."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace, sampler: Literal["tpe", "gp"]) -> None:
        self._space = JointSpace(architectures, distillations)
        self._sampler: Literal["tpe", "gp"] = sampler
        self._random = RandomProposer(architectures, distillations)

    def propose(self, study: Study) -> Pupil | None:
        """Return the sampler's next proposal that was not taught yet.

        Raises:
            InputError: Optuna is not installed.
        """
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise InputError("this policy needs the package optuna", hint="pip install 'autokd-edge[baselines]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        known = asked(study)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            theirs = optuna.create_study(direction="maximize", sampler=self._seeded(study))
            theirs.add_trials(self._told(study))
            for _ in range(_TRIES):
                pupil = self._suggested(theirs.ask())
                if pupil.member not in known:
                    return pupil
        return self._random.propose(study)

    def _seeded(self, study: Study) -> optuna.samplers.BaseSampler:
        import optuna

        seed = int(stream(study, "optuna").integers(2**31))
        if self._sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True)
        return optuna.samplers.GPSampler(seed=seed)

    def _told(self, study: Study) -> list[optuna.trial.FrozenTrial]:
        """Return a finished trial for each lesson, with log(reading / limit) as constraints, and a failed one for each refusal."""
        import optuna

        distributions = {name: _distribution(parameter) for name, parameter in self._space.parameters.items()}
        trials = []
        for lesson in told(study):
            params = self._space.values(lesson.pupil)
            attributes: dict[str, Any] = {"constraints": list(lesson.log_ratios)}
            active = {name: distributions[name] for name in params}
            trials.append(optuna.trial.create_trial(value=lesson.accuracy, params=params, distributions=active, system_attrs=attributes))
        return trials + [optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL) for _ in refused(study)]

    def _suggested(self, trial: optuna.trial.Trial) -> Pupil:
        return self._space.pupil(lambda name, parameter: trial._suggest(name, _distribution(parameter)))  # noqa: SLF001  the one verb for every kind


def _distribution(parameter: Parameter) -> Any:  # noqa: ANN401  one of Optuna's, which may not be installed
    import optuna

    match parameter:
        case Integer():
            return optuna.distributions.IntDistribution(parameter.low, parameter.high, log=parameter.log)
        case Real():
            return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        case Ordinal():
            return optuna.distributions.IntDistribution(0, len(parameter.values) - 1)
        case Choice():
            return optuna.distributions.CategoricalDistribution(parameter.values)
