"""Ax's Bayesian optimisation as a baseline (Olson et al., AutoML 2025; Ax 1.3), told the limits as outcome constraints.

Each proposal begins with a new Ax experiment that is told the teachings so far, so that it is a pure function of
ours. Its generation strategy is Ax's default: the centre of the space, Sobol points until five lessons are there,
then BoTorch. Its space is flat: a parameter that is inactive in a pupil is told as the middle of its range.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.space import Choice, Integer, Ordinal, Parameter, Point, Real, SearchSpace, Value
from autokd_edge.core.study import Study
from autokd_edge.errors import InputError
from autokd_edge.search.draw import stream
from autokd_edge.search.history import asked, refused
from autokd_edge.search.joint_space import JointSpace, outside, told
from autokd_edge.search.random_search import RandomProposer

if TYPE_CHECKING:
    from ax.api.client import Client
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

_TRIES = 8  # proposals that were asked already, before one is drawn at random: a repetition teaches nothing here
_KINDS: Mapping[type, Literal["int", "float", "str"]] = {int: "int", float: "float", str: "str"}
# Log the version of SQLAlchemy at import, and as a warning that BoTorch found a taught point best five times over and
# Sobol is asked instead: that is how Ax goes on in a discrete space.
_LOGGERS = ("ax.storage.sqa_store.with_db_settings_base", "ax.generation_strategy.generation_node")


class AxProposer:
    """Proposals of Ax's default generation strategy."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace) -> None:
        self._space = JointSpace(architectures, distillations)
        self._random = RandomProposer(architectures, distillations)

    def propose(self, study: Study) -> Pupil | None:
        """Return Ax's next proposal that was not asked yet.

        Raises:
            InputError: Ax is not installed.
        """
        at_random = self._random.propose(study)
        if at_random is None:
            return None  # the space is used up, which Ax would need 10,000 draws to see
        with _quiet():
            _import()
            from autokd_edge.search.surrogate import steady

            with steady():
                pupil = self._new(self._told(study), asked(study))
        return at_random if pupil is None else pupil

    def _told(self, study: Study) -> Client:
        """Return an experiment with a finished trial for each lesson and a failed one for each refusal."""
        from ax.api.client import Client

        lessons, failures = list(told(study)), refused(study)
        limits = [f"log_ratio_{i}" for i in range(len(lessons[0].log_ratios) if lessons else 0)]
        client = Client(random_seed=int(stream(study, "ax").integers(2**31)))
        client.configure_experiment(parameters=[_config(name, parameter) for name, parameter in self._space.parameters.items()])
        client.configure_optimization(objective="accuracy", outcome_constraints=[f"{name} <= 0" for name in limits])
        client.configure_generation_strategy(
            # Ax passes over the centre by itself where there are trials, but then draws a Sobol point however many there are.
            initialize_with_center=not (lessons or failures),
            # One Sobol sequence for a study, from its beginning every time: what was taught of it is passed over. Ax draws
            # failed points again, so another sequence begins after each refusal.
            initialization_random_seed=study.config.seed + len(failures),
        )
        for lesson in lessons:
            trial = client.attach_trial(self._flat(lesson.pupil))
            client.complete_trial(trial, raw_data={"accuracy": lesson.accuracy, **dict(zip(limits, lesson.log_ratios, strict=True))})
        for member in failures:
            client.mark_trial_failed(client.attach_trial(self._flat(_undistilled(member))))
        return client

    def _flat(self, pupil: Pupil) -> dict[str, Value]:
        """Return a value for every parameter."""
        values = self._space.values(pupil)
        return {name: values.get(name, outside(parameter, parameter.at(0.5))) for name, parameter in self._space.parameters.items()}

    def _new(self, client: Client, known: Collection[Member]) -> Pupil | None:
        from ax.exceptions.core import OptimizationComplete

        for _ in range(_TRIES):
            try:
                ((trial, values),) = client.get_next_trials(max_trials=1).items()
            except OptimizationComplete:  # Ax found nothing new in the space
                return None
            pupil = self._space.pupil(lambda name, _parameter: values[name])  # noqa: B023  asked before the next turn
            if pupil.member not in known:
                return pupil
            client.mark_trial_abandoned(trial)  # so that it is not proposed again
        return None


def _undistilled(member: Member) -> Pupil:
    """Return a refused member as a pupil: Ax is told nothing of what it would have been taught with."""
    return Pupil(member=member, distillation=Point(values=()))


def _config(name: str, parameter: Parameter) -> RangeParameterConfig | ChoiceParameterConfig:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    match parameter:
        case Integer(low=low, high=high):
            return RangeParameterConfig(name=name, bounds=(low, high), parameter_type="int", scaling="log" if parameter.log else None)
        case Real(low=low, high=high):
            return RangeParameterConfig(name=name, bounds=(low, high), parameter_type="float", scaling="log" if parameter.log else None)
        case Ordinal(values=values):
            return RangeParameterConfig(name=name, bounds=(0, len(values) - 1), parameter_type="int")
        case Choice(values=values):
            listed: Any = list(values)  # of one kind, which the type of a tuple does not say
            return ChoiceParameterConfig(name=name, values=listed, parameter_type=_KINDS[type(values[0])], is_ordered=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Ax calls of its own that it has deprecated, and a search of BoTorch's that begins again elsewhere."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ax\.")
        warnings.filterwarnings("ignore", message="Optimization failed in `gen_candidates_scipy`", category=RuntimeWarning)
        yield


def _import() -> None:
    """Import Ax, and have it log to stderr its warnings alone.

    Raises:
        InputError: Ax is not installed.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_news)
    try:
        from ax.utils.common.logger import set_stderr_log_level
    except ModuleNotFoundError as error:
        raise InputError("this policy needs the package ax-platform", hint="pip install 'autokd-edge[baselines]'") from error
    set_stderr_log_level(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING and "MAX_GEN_ATTEMPTS" not in record.getMessage()
