import dataclasses
import math

import pytest
from fakes.study import sample_measurement
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd_edge.core.limits import (
    Budget,
    InstructionLimit,
    LatencyLimit,
    Limits,
    MemoryLimit,
    Slack,
    accuracy_slack,
    device_slacks,
    parse_budget,
    parse_drop,
    parse_latency,
    parse_memory,
)
from autokd_edge.errors import LimitError


@pytest.mark.parametrize(
    ("text", "percent", "bound_ns", "times"),
    [
        ("3ms", 50.0, 3_000_000, None),
        ("p99:3ms", 99.0, 3_000_000, None),
        ("p99.9:250us", 99.9, 250_000, None),
        ("0.25x", 50.0, None, 0.25),
        ("p90:.5x", 90.0, None, 0.5),
        ("1.5s", 50.0, 1_500_000_000, None),
        ("7ns", 50.0, 7, None),
    ],
)
def test_a_latency_is_read_with_its_percentile_and_unit(text: str, percent: float, bound_ns: int | None, times: float | None) -> None:
    assert parse_latency(text) == LatencyLimit(percent=percent, bound_ns=bound_ns, times_teacher=times)


@pytest.mark.parametrize(
    "text",
    ["", "3", "ms", "-3ms", "0ms", "3 ms", "3MB", "0.1ns", "p0:3ms", "p100:3ms", "99:3ms", "px:3ms", "p99:", "nanms", "1e3ms", "٣ms"],
)
def test_what_is_not_a_positive_latency_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(LimitError, match="got '") as raised:
        parse_latency(text)
    assert "--max-latency" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("20MB", MemoryLimit(bound_bytes=20_000_000, times_teacher=None)),
        ("16MiB", MemoryLimit(bound_bytes=2**24, times_teacher=None)),
        ("0.5x", MemoryLimit(bound_bytes=None, times_teacher=0.5)),
    ],
)
def test_a_memory_limit_is_read_in_decimal_and_binary_units(text: str, limit: MemoryLimit) -> None:
    assert parse_memory(text) == limit


@pytest.mark.parametrize("text", ["", "20", "20mb", "-1MB", "0B", "3ms"])
def test_what_is_not_a_positive_size_is_refused(text: str) -> None:
    with pytest.raises(LimitError, match="memory limit must be a positive number"):
        parse_memory(text)


@given(st.floats(0, 100))
@settings(deadline=None)  # a busy machine is no defect
def test_a_drop_is_read_with_and_without_the_per_cent_sign(points: float) -> None:
    assert parse_drop(repr(points)) == parse_drop(f"{points!r}%") == points


@pytest.mark.parametrize("text", ["", "x", "-1", "101", "nan", "inf"])
def test_a_drop_outside_0_to_100_is_refused(text: str) -> None:
    with pytest.raises(LimitError, match="0 to 100 points"):
        parse_drop(text)


@pytest.mark.parametrize(
    ("text", "budget", "said"),
    [
        ("8min", Budget(seconds=480.0, teachings=None), "480 s"),
        ("1.5h", Budget(seconds=5400.0, teachings=None), "5400 s"),
        ("20", Budget(seconds=None, teachings=20), "20 teachings"),
    ],
)
def test_a_budget_is_a_time_or_a_count(text: str, budget: Budget, said: str) -> None:
    assert parse_budget(text) == budget
    assert str(budget) == said


@pytest.mark.parametrize("text", ["", "0", "-5", "8 min", "8minutes", "2.5", "0s"])
def test_what_is_not_a_budget_is_refused(text: str) -> None:
    with pytest.raises(LimitError, match="budget must be a positive number"):
        parse_budget(text)


def test_a_relative_limit_is_compared_with_the_upper_bound_of_the_teacher() -> None:
    teacher, reading = sample_measurement(1_000_000.0), sample_measurement(300_000.0)
    limits = Limits(latency=LatencyLimit(percent=50.0, bound_ns=None, times_teacher=0.25), memory=None, max_drop=None)
    (slack,) = device_slacks(limits, reading, teacher)
    upper_of_teacher, upper = teacher.upper_bound_ns(50.0), reading.upper_bound_ns(50.0)
    assert upper_of_teacher is not None
    assert slack == Slack(limit="latency", reading=upper, bound=0.25 * upper_of_teacher)  # type: ignore[arg-type]  # not None
    assert slack.excess > 0


def test_memory_is_compared_above_the_null_engine() -> None:
    reading, teacher = sample_measurement(1000.0, engine_bytes=3_000_000), sample_measurement(1000.0, engine_bytes=8_000_000)
    absolute = Limits(latency=None, memory=MemoryLimit(bound_bytes=2_000_000, times_teacher=None), max_drop=None)
    relative = Limits(latency=None, memory=MemoryLimit(bound_bytes=None, times_teacher=0.5), max_drop=None)
    assert device_slacks(absolute, reading, teacher) == (Slack(limit="memory", reading=3_000_000, bound=2_000_000),)
    assert device_slacks(absolute, reading, teacher)[0].excess == pytest.approx(0.5)
    assert device_slacks(relative, reading, teacher)[0].excess == pytest.approx(-0.25)


def test_a_percentile_that_the_samples_cannot_support_is_refused() -> None:
    limits = Limits(latency=LatencyLimit(percent=99.0, bound_ns=10**9, times_teacher=None), memory=None, max_drop=None)
    few = sample_measurement(1000.0, protocol="screen")
    with pytest.raises(LimitError, match=r"p99 needs more samples than the 150 of protocol 'screen'"):
        device_slacks(limits, few, few)


def test_no_limit_leaves_no_slack() -> None:
    reading = sample_measurement(1000.0)
    limits = Limits(latency=None, memory=None, max_drop=None)
    assert device_slacks(limits, reading, reading) == ()
    assert accuracy_slack(limits, 10.0, 90.0) == ()


def test_the_accuracy_excess_is_in_points() -> None:
    limits = Limits(latency=None, memory=None, max_drop=1.5)
    (slack,) = accuracy_slack(limits, 92.0, 94.0)
    assert slack == Slack(limit="accuracy", reading=2.0, bound=1.5)
    assert math.isclose(slack.excess, 0.5)


def test_counted_instructions_are_compared_with_their_own_limit_and_never_with_a_latency() -> None:
    teacher = dataclasses.replace(sample_measurement(5e6, origin="emulated"), instructions=8_000_000)
    student = dataclasses.replace(sample_measurement(9e6, origin="emulated"), instructions=2_000_000)
    half = Limits(latency=None, memory=None, max_drop=None, instructions=InstructionLimit(bound=None, times_teacher=0.5))
    assert device_slacks(half, student, teacher) == (Slack(limit="instructions", reading=2_000_000, bound=4_000_000),)
    fixed = dataclasses.replace(half, instructions=InstructionLimit(bound=1_000_000, times_teacher=None))
    assert device_slacks(fixed, student, teacher)[0].excess == 1.0


def test_a_limit_on_instructions_that_nobody_counted_is_refused() -> None:
    limits = Limits(latency=None, memory=None, max_drop=None, instructions=InstructionLimit(bound=1, times_teacher=None))
    with pytest.raises(LimitError, match="instructions must be counted where they are limited"):
        device_slacks(limits, sample_measurement(1e6), sample_measurement(1e6))
