"""Several families as one space to search: which family is the first parameter, the others depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autokd_edge.core.space import Choice, Parameter, Point, SearchSpace, WhenEqual
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.ports import StudentFamily

FAMILY = "family"


class UnionFamily:
    """Members of any of the families; a parameter ``P`` of family ``F`` is called ``F.P``, active where F is chosen."""

    def __init__(self, families: Sequence[StudentFamily]) -> None:
        """Unite at least two families of different names."""
        self._families = {family.name: family for family in families}
        if not len(self._families) == len(families) >= 2:
            raise ValueError(f"a union must be of at least two different families; got {[family.name for family in families]}")
        self.name = ",".join(self._families)

    def space(self, task: Task) -> SearchSpace:
        """Return the choice of the family and the parameters of all, in order."""
        first = Choice(name=FAMILY, values=tuple(self._families))
        inner = [_within(name, p) for name, family in self._families.items() for p in family.space(task).parameters]
        return SearchSpace(parameters=(first, *inner))

    def members(self, architecture: Point) -> int:
        """Return what the chosen family says."""
        family, own = self._chosen(architecture)
        return family.members(own)

    def spec(self, architecture: Point, task: Task, index: int) -> StudentSpec:
        """Return the very member that the chosen family alone would give."""
        family, own = self._chosen(architecture)
        return family.spec(own, task, index)

    def _chosen(self, architecture: Point) -> tuple[StudentFamily, Point]:
        name = str(architecture[FAMILY])
        own = tuple((key.removeprefix(f"{name}."), value) for key, value in architecture if key != FAMILY)
        return self._families[name], Point(values=own)


def _within(family: str, parameter: Parameter) -> Parameter:
    when = parameter.when
    inside = WhenEqual(parameter=FAMILY, value=family) if when is None else replace(when, parameter=f"{family}.{when.parameter}")
    return replace(parameter, name=f"{family}.{parameter.name}", when=inside)
