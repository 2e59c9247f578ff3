"""Limits of a study, how they are written, and which of them a reading breaks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from autokd_edge.core.measure import Measurement
from autokd_edge.errors import LimitError

_TIME_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_SIZE_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_COUNTS = {"k": 10**3, "M": 10**6, "G": 10**9, "": 1}
_SPAN_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)([A-Za-z]*)\Z")
# Points: twice the standard error of 0.25 points that an accuracy of 93 % has on 10,000 images.
MAX_QUANT_DROP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyLimit:
    """Bound on the upper confidence bound of a percentile; ns, or a multiple of the teacher's reading."""

    percent: float
    bound_ns: int | None
    times_teacher: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """Bound on peak memory over the null engine; bytes, or a multiple of the teacher's reading."""

    bound_bytes: int | None
    times_teacher: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionLimit:
    """Bound on the instructions of one inference, counted under emulation; a number, or a multiple of the teacher's count."""

    bound: int | None
    times_teacher: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a student must keep on its target.

    ``max_drop`` in points of accuracy below the teacher; ``max_quant_drop`` in points of a quantised engine
    below the same network in float.
    """

    latency: LatencyLimit | None
    memory: MemoryLimit | None
    max_drop: float | None
    max_quant_drop: float = MAX_QUANT_DROP
    instructions: InstructionLimit | None = None

    @property
    def of_device(self) -> bool:
        """Say whether anything that is read on the device is limited."""
        return any(limit is not None for limit in (self.latency, self.memory, self.instructions))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """One limit against one reading; both in the limit's own unit (ns, bytes, instructions, points)."""

    limit: str  # "latency" | "memory" | "instructions" | "accuracy"
    reading: float
    bound: float

    @property
    def excess(self) -> float:
        """Reading / bound - 1 (points above the bound for accuracy): positive is a violation."""
        return self.reading - self.bound if self.limit == "accuracy" else self.reading / self.bound - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When to stop: after so many seconds of work, or after so many students were taught."""

    seconds: float | None
    teachings: int | None

    def __str__(self) -> str:
        return f"{self.seconds:g} s" if self.seconds is not None else f"{self.teachings} teachings"


def device_slacks(limits: Limits, reading: Measurement, teacher: Measurement | None) -> tuple[Slack, ...]:
    """Compare a reading with the device limits; ``teacher`` is what relative limits are of, None where no limit is relative.

    Raises:
        LimitError: the reading has too few samples for the limit's percentile, or its instructions were not counted.
    """
    slacks = []
    if limits.latency is not None:
        percent = limits.latency.percent
        bound = limits.latency.bound_ns or _relative(teacher, lambda m: _supported(m, percent), limits.latency.times_teacher)
        slacks.append(Slack(limit="latency", reading=_supported(reading, percent), bound=bound))
    if limits.memory is not None:
        most = limits.memory.bound_bytes or _relative(teacher, lambda m: m.memory.engine_bytes, limits.memory.times_teacher)
        slacks.append(Slack(limit="memory", reading=reading.memory.engine_bytes, bound=most))
    if limits.instructions is not None:
        most = limits.instructions.bound or _relative(teacher, _counted, limits.instructions.times_teacher)
        slacks.append(Slack(limit="instructions", reading=_counted(reading), bound=most))
    return tuple(slacks)


def accuracy_slack(limits: Limits, accuracy: float, teacher: float | None) -> tuple[Slack, ...]:
    """Compare the drop below the teacher, in points, with its limit; none where there is no limit."""
    if limits.max_drop is None:
        return ()
    if teacher is None:
        raise LimitError("an accuracy drop needs a teacher to be below; there is none", hint="leave --max-drop out")
    return (Slack(limit="accuracy", reading=teacher - accuracy, bound=limits.max_drop),)


def parse_latency(text: str) -> LatencyLimit:
    """Read ``3ms``, ``p99:3ms`` or ``0.25x``; without a percentile it is the p50.

    Raises:
        LimitError: the text is not a positive latency.
    """
    head, colon, rest = text.partition(":")
    percent = 50.0
    if colon:
        try:
            percent = float(head.removeprefix("p"))
        except ValueError:
            percent = math.nan
        if not head.startswith("p") or not 0 < percent < 100:
            raise LimitError(f"percentile must be p1 to p99.9; got '{head}'", hint="--max-latency p99:30ms")
    value, unit = _quantity(rest if colon else text, "latency limit", (*_TIME_NS, "x"), "--max-latency 30ms")
    if unit == "x":
        return LatencyLimit(percent=percent, bound_ns=None, times_teacher=value)
    bound = round(value * _TIME_NS[unit])
    if bound < 1:
        raise LimitError(f"latency limit must be at least 1 ns; got '{text}'", hint="--max-latency 30ms")
    return LatencyLimit(percent=percent, bound_ns=bound, times_teacher=None)


def parse_memory(text: str) -> MemoryLimit:
    """Read ``20MB``, ``16MiB`` or ``0.5x``; raises LimitError."""
    value, unit = _quantity(text, "memory limit", (*_SIZE_BYTES, "x"), "--max-memory 20MB")
    if unit == "x":
        return MemoryLimit(bound_bytes=None, times_teacher=value)
    return MemoryLimit(bound_bytes=max(1, round(value * _SIZE_BYTES[unit])), times_teacher=None)


def parse_instructions(text: str) -> InstructionLimit:
    """Read ``5M``, ``800k``, ``1.5G``, ``5000000`` or ``0.5x``; raises LimitError."""
    value, unit = _quantity(text, "instruction limit", (*_COUNTS, "x"), "--max-instructions 5M")
    if unit == "x":
        return InstructionLimit(bound=None, times_teacher=value)
    return InstructionLimit(bound=max(1, round(value * _COUNTS[unit])), times_teacher=None)


def parse_drop(text: str, *, option: str = "--max-drop") -> float:
    """Read points of accuracy, ``1.5`` or ``1.5%``, that were given to an option; raises LimitError."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise LimitError(f"accuracy drop must be 0 to 100 points; got '{text}'", hint=f"{option} 1.5")
    return value


def parse_budget(text: str) -> Budget:
    """Read a time (``8min``, ``2h``, ``90s``) or a number of teachings (``20``); raises LimitError."""
    if re.fullmatch(r"[0-9]+", text) and int(text) > 0:
        return Budget(seconds=None, teachings=int(text))
    value, unit = _quantity(text, "budget", tuple(_SPAN_S), "--budget 8min or --budget 20")
    return Budget(seconds=value * _SPAN_S[unit], teachings=None)


def _quantity(text: str, what: str, units: tuple[str, ...], hint: str) -> tuple[float, str]:
    match = _QUANTITY.match(text)
    if match is None or match[2] not in units or not float(match[1]) > 0 or math.isinf(float(match[1])):
        raise LimitError(f"{what} must be a positive number with one of {', '.join(filter(None, units))}; got '{text}'", hint=hint)
    return float(match[1]), match[2]


def _counted(reading: Measurement) -> int:
    if reading.instructions is None:
        raise LimitError("instructions must be counted where they are limited; an emulated board alone does", hint="--max-latency 30ms")
    return reading.instructions


def _relative(teacher: Measurement | None, quantity: Callable[[Measurement], float], times: float | None) -> float:
    if teacher is None or times is None:
        raise LimitError(
            "a limit relative to the teacher needs its reading on the target; there is none", hint="--max-latency 3ms or --max-memory 20MB"
        )
    return quantity(teacher) * times


def _supported(reading: Measurement, percent: float) -> int:
    bound = reading.upper_bound_ns(percent)
    if bound is None:
        raise LimitError(
            f"p{percent:g} needs more samples than the {reading.count} of protocol '{reading.protocol}'",
            hint=f"--max-latency p50:3ms, or a protocol with more runs than '{reading.protocol}'",
        )
    return bound
