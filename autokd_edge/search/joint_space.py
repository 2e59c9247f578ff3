"""Both spaces under flat names, and the lessons of a study, as the optimisers of other packages take them.

A name is ``architecture.N_t`` or ``distillation.tau``; a rising list of numbers is its index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from autokd_edge.core.pupil import Lesson, Member, Pupil
from autokd_edge.core.space import Ordinal, Parameter, Point, SearchSpace, Value
from autokd_edge.core.study import Study
from autokd_edge.search.history import readings, searched

_PARTS = ("architecture", "distillation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A pupil with its validation accuracy in % and log(reading / limit) for each limit: negative is kept."""

    pupil: Pupil
    accuracy: float
    log_ratios: tuple[float, ...]


class JointSpace:
    """The parameters of architectures and distillations by flat name."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace) -> None:
        self._spaces = dict(zip(_PARTS, (architectures, distillations), strict=True))

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Return every parameter, active or not, in order."""
        return {f"{part}.{parameter.name}": parameter for part, space in self._spaces.items() for parameter in space.parameters}

    def values(self, pupil: Pupil) -> dict[str, Value]:
        """Return the values of the active parameters."""
        found = {}
        for part, point in zip(_PARTS, (pupil.member.architecture, pupil.distillation), strict=True):
            for parameter in self._spaces[part].parameters:
                if parameter.name in point:
                    found[f"{part}.{parameter.name}"] = outside(parameter, point[parameter.name])
        return found

    def pupil(self, ask: Callable[[str, Parameter], Value]) -> Pupil:
        """Make a pupil of one answer for each active parameter; an inactive one is not asked about."""
        architecture, distillation = (self._point(part, ask) for part in _PARTS)
        return Pupil(member=Member(architecture=architecture, index=0), distillation=distillation)

    def _point(self, part: str, ask: Callable[[str, Parameter], Value]) -> Point:
        space, taken = self._spaces[part], dict[str, Value]()
        for parameter in space.parameters:
            when = parameter.when
            if when is None or (when.parameter in taken and when.met(taken[when.parameter])):
                taken[parameter.name] = _inside(parameter, ask(f"{part}.{parameter.name}", parameter))
        return space.point(taken)


def told(study: Study) -> Iterator[Told]:
    """Yield the lessons of the search whose member was measured: another goal's pupil may not build here."""
    ratios = {reading.member: reading.log_ratios for reading in readings(study)}
    for taught in searched(study):
        if isinstance(taught.outcome, Lesson) and taught.pupil.member in ratios:
            yield Told(pupil=taught.pupil, accuracy=taught.outcome.accuracy, log_ratios=ratios[taught.pupil.member])


def outside(parameter: Parameter, value: Value) -> Value:
    """Return a value as it is told to others."""
    return parameter.values.index(int(value)) if isinstance(parameter, Ordinal) else value


def _inside(parameter: Parameter, value: Value) -> Value:
    return parameter.values[int(value)] if isinstance(parameter, Ordinal) else value
