import dataclasses

import pytest
from fakes.study import INT8, sample_measurement, sample_prediction

from autokd_edge.core.limits import Slack
from autokd_edge.core.measure import Origin
from autokd_edge.core.tuning import Tuning
from autokd_edge.report import wording


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (7, "7 ns"),
        (950, "950 ns"),
        (1_234, "1.23 µs"),
        (195_400, "195 µs"),
        (1_192_000, "1.19 ms"),
        (45_600_000, "45.6 ms"),
        (2e9, "2.00 s"),
    ],
)
def test_a_latency_has_three_digits_and_the_unit_that_suits_it(ns: float, said: str) -> None:
    assert wording.latency(ns) == said


def test_a_percentile_without_support_is_no_number() -> None:
    assert wording.latency(None) == "too few samples"


@pytest.mark.parametrize(("count", "said"), [(12, "12 B"), (2_568_230, "2.57 MB"), (48_000, "48.0 kB"), (8 * 10**9, "8.00 GB")])
def test_a_size_is_decimal(count: int, said: str) -> None:
    assert wording.size(count) == said


@pytest.mark.parametrize(("count", "said"), [(999, "999"), (38_400_000, "38.4 M"), (61_000, "61.0 k")])
def test_a_count_has_three_digits(count: int, said: str) -> None:
    assert wording.large(count) == said


def test_a_ratio_says_who_won() -> None:
    assert wording.times(4.94, "faster", "slower") == "4.94\N{MULTIPLICATION SIGN} faster"
    assert wording.times(0.5, "faster", "slower") == "2.00\N{MULTIPLICATION SIGN} slower"
    assert wording.times(1.004, "faster", "slower") == wording.times(0.996, "faster", "slower") == "equal"


def test_points_keep_their_sign() -> None:
    assert wording.points(-0.9) == "\N{MINUS SIGN}0.90 points"
    assert wording.points(0.25) == "+0.25 points"


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59.6, "1 min"), (500, "8 min 20 s"), (7_260, "2 h 1 min"), (3_605, "1 h")])
def test_a_duration_has_two_units(seconds: float, said: str) -> None:
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("slack", "said"),
    [
        (Slack(limit="latency", reading=196_060, bound=299_313), "latency 196 µs (limit 299 µs)"),
        (Slack(limit="memory", reading=1_849_126, bound=6e6), "memory 1.85 MB (limit 6.00 MB)"),
        (Slack(limit="accuracy", reading=0.79, bound=2.5), "accuracy drop 0.79 points (limit 2.50)"),
    ],
)
def test_a_slack_is_said_in_its_own_unit(slack: Slack, said: str) -> None:
    assert wording.slack(slack) == said


@pytest.mark.parametrize(
    ("origin", "word"), [("device", "measured"), ("emulated", "emulated"), ("predicted", "predicted"), ("replay", "replayed")]
)
def test_measured_is_said_of_the_device_alone(origin: Origin, word: str) -> None:
    made = None if origin != "predicted" else sample_prediction()
    reading = dataclasses.replace(sample_measurement(1e6), origin=origin, prediction=made)
    assert wording.origins([reading]).split(" from ")[0] == word
    assert wording.conditions(reading).startswith(word)
    assert ("measured" in wording.conditions(reading)) == (origin == "device")


def test_a_predicted_reading_is_never_said_without_the_error_of_its_model() -> None:
    readings = [
        dataclasses.replace(sample_measurement(1e6), origin="predicted", prediction=sample_prediction(mean_error=error))
        for error in (0.04, 0.08)
    ]
    said = "predicted from 150 recorded networks: latency 8% off on average and 15% at most in nine of ten, memory 6%"
    assert wording.origins(readings) == wording.origin(readings[1]) == said
    assert wording.conditions(readings[1]).startswith(f"{said} on host ")
    assert wording.samples(readings[0]) == "none: quantiles of the prediction's error"


def test_readings_of_two_origins_name_both() -> None:
    readings = [sample_measurement(1e6), sample_measurement(2e6, origin="device"), sample_measurement(3e6)]
    assert wording.origins(readings) == "replayed and measured"
    assert wording.origins([]) == "not measured"


def test_conditions_name_device_runtime_precision_and_protocol() -> None:
    reading = sample_measurement(1e6, variant=INT8, protocol="final")
    assert wording.conditions(reading) == (
        "replayed on host (Sample Processor 2.0 GHz, virtual machine), openvino 2026.4.1, 1 thread: int8 by protocol final"
    )


def test_conditions_of_many_readings_take_a_line_for_each_device() -> None:
    here = [sample_measurement(1e6), sample_measurement(2e6), sample_measurement(1e6, variant=INT8)]
    there = dataclasses.replace(here[0], target="pi-4", threads=4)
    where = "(Sample Processor 2.0 GHz, virtual machine), openvino 2026.4.1"
    assert wording.all_conditions([*here, there]) == (
        f"replayed on host {where}, 1 thread: fp32 by protocol screen; int8 by protocol screen",
        f"replayed on pi-4 {where}, 4 threads: fp32 by protocol screen",
    )


def test_the_precision_that_ran_is_told_by_layers() -> None:
    assert wording.executed(sample_measurement(1e6, variant=INT8)) == "int8 in 11 layers, fp32 in 1"
    assert wording.executed(dataclasses.replace(sample_measurement(1e6), executed={})) == "not read back"


def test_instructions_are_said_as_counted_by_the_emulator_and_never_as_a_time() -> None:
    plain = sample_measurement(1e6, origin="emulated")
    assert wording.instructions(plain) == "not counted"
    assert wording.instructions(dataclasses.replace(plain, instructions=2_107_742)) == "2,107,742 (counted by the emulator)"


def test_emulated_times_are_not_compared_and_counts_are():
    teacher, student = (sample_measurement(ns, origin="emulated") for ns in (4e6, 1e6))
    assert wording.speed(teacher, student) == "not compared: emulated"
    assert wording.fewer_instructions(teacher, student) == ""
    assert wording.work(student) == "1.00 ms"
    teacher, student = (dataclasses.replace(one, instructions=count) for one, count in ((teacher, 300_000), (student, 150_000)))
    assert wording.fewer_instructions(teacher, student) == "2.00\N{MULTIPLICATION SIGN} fewer"
    assert wording.work(student) == "150 k instructions"
    assert wording.speed(sample_measurement(4e6), sample_measurement(1e6)).endswith("faster")


def test_a_limit_on_instructions_is_said_in_their_own_unit() -> None:
    assert wording.slack(Slack(limit="instructions", reading=2_100_000, bound=4_000_000)) == "instructions 2.10 M (limit 4.00 M)"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "tuned 14 workloads, 112 candidates in 48 s: 310 µs against 360 µs"),
        ({"known": 3}, "tuned 14 workloads (3 known from before), 112 candidates in 48 s: 310 µs against 360 µs"),
        ({"failed": {"a": 1, "b": 2}}, "tuned 14 workloads, 112 candidates (3 more failed: a; b) in 48 s: 310 µs against 360 µs"),
        ({"tuned_ns": 361_000.0}, "tuned 14 workloads, 112 candidates in 48 s: 361 µs against 360 µs, so that the tiles of the rule stay"),
        (
            {"untuned_ns": None, "tuned_ns": None},
            "tuned 14 workloads, 112 candidates in 48 s: none is faster than the rule's tiles, which stay",
        ),
        ({"dropped": "why"}, "tuned 14 workloads, 112 candidates in 48 s: 310 µs against 360 µs, but why: the rule's tiles stay"),
    ],
)
def test_what_tuning_won_is_one_sentence(changes: dict[str, object], said: str) -> None:
    plain = Tuning(
        most=8, workloads=14, known=0, candidates=112, failed={}, changed=5, seconds=48.2, untuned_ns=360_000.0, tuned_ns=310_000.0
    )
    assert wording.tuned(dataclasses.replace(plain, **changes)) == said
