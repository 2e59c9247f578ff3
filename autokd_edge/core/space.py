"""Search spaces: ordered parameters with conditions, and the points in them.

A point holds the values of the active parameters only, in the order of the space, so that equal
choices are equal values and a parameter without effect can never make two points out of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

Value: TypeAlias = int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Active only where an earlier, active, numeric parameter is greater than ``above``."""

    parameter: str
    above: float

    def met(self, value: Value) -> bool:
        """Say whether the other parameter's value switches this one on."""
        return float(value) > self.above


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenEqual:
    """Active only where an earlier, active parameter has one value."""

    parameter: str
    value: Value

    def met(self, value: Value) -> bool:
        """Say whether the other parameter's value switches this one on."""
        return value == self.value


Condition: TypeAlias = When | WhenEqual


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """Whole numbers from ``low`` to ``high``, both included; ``log`` spaces them by ratio."""

    name: str
    low: int
    high: int
    log: bool = False
    when: Condition | None = None

    def __post_init__(self) -> None:
        _check_range(self.name, self.low, self.high, log=self.log)

    def at(self, unit: float) -> int:
        """Map [0, 1] to a value."""
        value = _between(self.low - 0.5 * (not self.log), self.high + 0.5 * (not self.log), unit, log=self.log)
        return min(self.high, max(self.low, round(value)))

    def unit(self, value: Value) -> float:
        """Map a value to [0, 1]."""
        return _position(self.low, self.high, float(value), log=self.log)

    def holds(self, value: Value) -> bool:
        """Say whether a value lies in the range."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """Real numbers from ``low`` to ``high``; ``log`` spaces them by ratio."""

    name: str
    low: float
    high: float
    log: bool = False
    when: Condition | None = None

    def __post_init__(self) -> None:
        _check_range(self.name, self.low, self.high, log=self.log)

    def at(self, unit: float) -> float:
        """Map [0, 1] to a value with 4 significant digits: fewer digits, fewer near-duplicates."""
        return min(self.high, max(self.low, float(f"{_between(self.low, self.high, unit, log=self.log):.4g}")))

    def unit(self, value: Value) -> float:
        """Map a value to [0, 1]."""
        return _position(self.low, self.high, float(value), log=self.log)

    def holds(self, value: Value) -> bool:
        """Say whether a value lies in the range."""
        return isinstance(value, float) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few values without an order."""

    name: str
    values: tuple[Value, ...]
    when: Condition | None = None

    def __post_init__(self) -> None:
        if len(set(self.values)) != len(self.values) or not self.values:
            raise ValueError(f"choices of '{self.name}' must be different and at least one; got {self.values}")

    def at(self, unit: float) -> Value:
        """Map [0, 1] to a value."""
        return self.values[min(len(self.values) - 1, int(unit * len(self.values)))]

    def unit(self, value: Value) -> float:
        """Map a value to the middle of its share of [0, 1]."""
        return (self.values.index(value) + 0.5) / len(self.values)

    def holds(self, value: Value) -> bool:
        """Say whether a value is among the choices."""
        return value in self.values


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordinal:
    """One of a few rising numbers, evenly spaced in the unit interval."""

    name: str
    values: tuple[int, ...]
    when: Condition | None = None

    def __post_init__(self) -> None:
        if len(self.values) < 2 or any(a >= b for a, b in pairwise(self.values)):
            raise ValueError(f"values of '{self.name}' must rise and be at least two; got {self.values}")

    def at(self, unit: float) -> int:
        """Map [0, 1] to a value; each has an equal share."""
        return self.values[min(len(self.values) - 1, int(unit * len(self.values)))]

    def unit(self, value: Value) -> float:
        """Map a value to its place, the first to 0 and the last to 1."""
        return self.values.index(int(value)) / (len(self.values) - 1)

    def holds(self, value: Value) -> bool:
        """Say whether a value is among the numbers."""
        return isinstance(value, int) and not isinstance(value, bool) and value in self.values


Parameter: TypeAlias = Integer | Real | Choice | Ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Values of the active parameters, in the order of their space; hashable."""

    values: tuple[tuple[str, Value], ...]

    def __getitem__(self, name: str) -> Value:
        for known, value in self.values:
            if known == name:
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(known == name for known, _ in self.values)

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return iter(self.values)

    def number(self, name: str) -> float:
        """Return a numeric parameter's value."""
        return float(self[name])

    def integer(self, name: str) -> int:
        """Return a whole-number parameter's value."""
        return int(self[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """Ordered parameters; a condition may only look back."""

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        names: list[str] = []
        for parameter in self.parameters:
            if parameter.name in names:
                raise ValueError(f"parameter names must be unique; got '{parameter.name}' twice")
            if parameter.when is not None and parameter.when.parameter not in names:
                raise ValueError(f"'{parameter.name}' must depend on an earlier parameter; got '{parameter.when.parameter}'")
            names.append(parameter.name)

    def __len__(self) -> int:
        return len(self.parameters)

    def point(self, values: Mapping[str, Value]) -> Point:
        """Make a point of named values; those of inactive parameters are dropped.

        Raises:
            ValueError: a name is unknown, an active parameter is missing, or a value out of range.
        """
        known = {p.name for p in self.parameters}
        if not set(values) <= known:
            raise ValueError(f"parameters must be among {', '.join(sorted(known))}; got '{min(set(values) - known)}'")
        taken: dict[str, Value] = {}
        for parameter in self.parameters:
            if not _active(parameter, taken):
                continue
            if parameter.name not in values:
                raise ValueError(f"parameter '{parameter.name}' must be given")
            value = values[parameter.name]
            if not parameter.holds(value):
                raise ValueError(f"parameter '{parameter.name}' must lie in its range; got {value!r}")
            taken[parameter.name] = value
        return Point(values=tuple(taken.items()))

    def at(self, unit: Sequence[float]) -> Point:
        """Make a point of a position in the unit cube, one coordinate for each parameter."""
        return self.point({p.name: p.at(u) for p, u in zip(self.parameters, unit, strict=True)})

    def unit(self, point: Point) -> tuple[float, ...]:
        """Map a point into the unit cube; inactive parameters lie in the middle."""
        return tuple(p.unit(point[p.name]) if p.name in point else 0.5 for p in self.parameters)


def _active(parameter: Parameter, taken: Mapping[str, Value]) -> bool:
    when = parameter.when
    return when is None or (when.parameter in taken and when.met(taken[when.parameter]))


def _check_range(name: str, low: float, high: float, *, log: bool) -> None:
    if not low < high or (log and low <= 0):
        raise ValueError(f"range of '{name}' must rise{' from above 0' if log else ''}; got {low} to {high}")


def _between(low: float, high: float, unit: float, *, log: bool) -> float:
    return math.exp(math.log(low) + unit * (math.log(high) - math.log(low))) if log else low + unit * (high - low)


def _position(low: float, high: float, value: float, *, log: bool) -> float:
    if log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)
