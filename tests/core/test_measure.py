import dataclasses
import statistics

import pytest
from fakes.study import sample_measurement
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from autokd_edge.core.measure import CONFIDENCE, Memory, Protocol, Sentinel, samples_needed, upper_bound_rank


def test_the_rank_agrees_with_the_binomial_law() -> None:
    for count in (1, 2, 5, 7, 50, 459, 1000):
        for share in (0.5, 0.9, 0.99):
            rank = upper_bound_rank(count, share)
            cumulative = [binom.cdf(k - 1, count, share) for k in range(1, count + 1)]
            expected = next((k for k, p in enumerate(cumulative, start=1) if p >= CONFIDENCE), None)
            assert rank == expected, (count, share)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("count", [5_000, 581_103])
def test_the_rank_of_many_samples_agrees_too(count: int, share: float) -> None:
    assert upper_bound_rank(count, share) == int(binom.ppf(CONFIDENCE, count, share)) + 1


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0])
def test_samples_needed_is_the_first_count_with_a_bound(percent: float) -> None:
    need = samples_needed(percent)
    assert upper_bound_rank(need, percent / 100) == need
    assert upper_bound_rank(need - 1, percent / 100) is None


@given(st.lists(st.integers(1, 10**6), min_size=7, max_size=60))
@settings(deadline=None)  # a busy machine is no defect
def test_the_upper_bound_is_a_sample_not_below_the_median(samples: list[int]) -> None:
    reading = dataclasses.replace(sample_measurement(1000.0), blocks_ns=(tuple(samples),))
    bound, median = reading.upper_bound_ns(50.0), reading.percentile_ns(50.0)
    assert bound in samples
    assert bound is not None
    assert median is not None
    assert bound >= median


def test_a_percentile_without_enough_samples_is_no_number() -> None:
    reading = dataclasses.replace(sample_measurement(1000.0), blocks_ns=((1, 2, 3, 4, 5, 6),))
    assert reading.percentile_ns(50.0) is None
    assert reading.upper_bound_ns(50.0) is None


def test_percentiles_are_nearest_ranks() -> None:
    reading = dataclasses.replace(sample_measurement(1000.0), blocks_ns=(tuple(range(1000, 0, -1)),))
    assert reading.count == 1000
    assert reading.percentile_ns(50.0) == 500
    assert reading.percentile_ns(99.0) == 990


def test_the_reported_latency_is_the_median_of_the_block_medians() -> None:
    reading = dataclasses.replace(sample_measurement(1000.0), blocks_ns=((10, 10, 500), (12, 12, 12), (14, 14, 1)))
    assert reading.median_ns == 12
    assert reading.between_variation == pytest.approx(statistics.stdev([2.302585, 2.484907, 2.639057]), rel=1e-5)


def test_one_block_says_nothing_about_the_variation_between_blocks() -> None:
    assert dataclasses.replace(sample_measurement(1000.0), blocks_ns=((9, 10, 11),)).between_variation == 0.0


def test_the_variation_within_blocks_is_the_quartile_range_over_the_median() -> None:
    reading = dataclasses.replace(sample_measurement(1000.0), blocks_ns=((8, 9, 10, 11, 12), (10, 10, 10, 10, 10), (90, 95, 100, 105, 110)))
    assert reading.within_variation == pytest.approx(0.1)  # of 0.2, 0 and 0.1 the middle one


@pytest.mark.parametrize("blocks", [(), ((),), ((1,), ())])
def test_a_reading_without_samples_is_refused(blocks: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="must have samples in every block"):
        dataclasses.replace(sample_measurement(1000.0), blocks_ns=blocks)


def test_a_sample_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="samples must be positive; got 0 ns"):
        dataclasses.replace(sample_measurement(1000.0), blocks_ns=((5, 0),))


def test_memory_is_never_negative() -> None:
    assert Memory(peak_rss_bytes=5, null_rss_bytes=2).engine_bytes == 3
    assert Memory(peak_rss_bytes=2, null_rss_bytes=5).engine_bytes == 0


@pytest.mark.parametrize(("drop", "null", "over"), [(9, 4, 5), (4, 9, 0), (None, 4, None), (9, None, None)])
def test_the_drop_of_available_memory_is_over_that_of_the_null_engine(drop, null, over):
    memory = Memory(peak_rss_bytes=1, null_rss_bytes=1, available_drop_bytes=drop, null_drop_bytes=null)
    assert memory.engine_drop_bytes == over


@pytest.mark.parametrize(("peak", "drop", "takes"), [(7, 4, 5), (7, 9, 8), (7, None, 5)])
def test_an_engine_takes_the_larger_of_the_scopes_that_were_read(peak, drop, takes):
    memory = Memory(peak_rss_bytes=peak, null_rss_bytes=2, available_drop_bytes=drop, null_drop_bytes=1)
    assert (memory.process_bytes, memory.engine_bytes) == (5, takes)


@pytest.mark.parametrize(
    ("flags", "instructions", "disturbed"),
    [
        ((), None, False),
        (("clocks-unlocked", "few-samples"), None, False),
        (("noisy",), None, True),
        (("machine-slowed",), None, True),
        (("sentinel-drift",), None, True),
        (("noisy",), 1000, False),
    ],
)
def test_a_reading_is_disturbed_where_its_flags_say_that_something_else_slowed_the_device(flags, instructions, disturbed):
    origin = "device" if instructions is None else "emulated"
    reading = dataclasses.replace(sample_measurement(1000.0), flags=flags, instructions=instructions, origin=origin)
    assert reading.is_disturbed == disturbed


def test_drift_is_a_share_without_a_sign() -> None:
    assert Sentinel(before_ns=100, after_ns=97).drift == pytest.approx(0.03)
    assert Sentinel(before_ns=100, after_ns=103).drift == pytest.approx(0.03)


@pytest.mark.parametrize(("field", "value"), [("blocks", 0), ("block_runs", 0), ("warmup_s", 0.0), ("timeout_s", -1.0), ("retries", -1)])
def test_a_protocol_out_of_range_is_refused(field: str, value: float) -> None:
    good = Protocol(
        name="p",
        warmup_runs=1,
        warmup_s=1.0,
        warmup_tolerance=0.1,
        blocks=1,
        block_runs=1,
        block_s=0.0,
        block_samples=5_000,
        cooldown_s=0.0,
        sentinel_runs=1,
        sentinel_drift=0.1,
        retries=0,
        timeout_s=1.0,
    )
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(good, **{field: value})  # type: ignore[arg-type]  # the field is a parameter of the test


def test_instructions_are_counted_under_emulation_alone_and_are_no_latency() -> None:
    plain = sample_measurement(1000.0, origin="emulated")
    counted = dataclasses.replace(plain, instructions=7_000)
    assert (counted.median_ns, counted.slowness) == (plain.median_ns, 7_000)
    assert plain.slowness == plain.median_ns
    with pytest.raises(ValueError, match="counted under emulation, 1 at least; got 0"):
        dataclasses.replace(plain, instructions=0)
    with pytest.raises(ValueError, match="got 7000, device"):
        dataclasses.replace(counted, origin="device")
