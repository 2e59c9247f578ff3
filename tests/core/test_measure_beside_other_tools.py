"""What TFLite's and TVM's own benchmarks printed of real devices, held against what a reading of ours would say.

Nothing of ours runs these tools, so nothing of ours reads their formats. They print figures and keep the times to themselves,
but for runs of one inference: those alone can be given to a reading and their figures compared. Of the others it is
checked what our laws of counts make of them.
"""

import dataclasses
import math
import re

import pytest
from fakes.samples import sample
from fakes.study import sample_measurement

from autokd_edge.core.measure import samples_needed, upper_bound_rank
from autokd_edge.devices.protocol import WITHIN_MOST

pytestmark = pytest.mark.reference

NUMBER = r"[\d.]+(?:e[+-]?\d+)?"


def tflite():
    """The lines of benchmark_model that sum up runs, in us; a warm-up and then the timed runs of each device."""
    lines = [line for line in sample("tflite_benchmark_model_samples.txt").splitlines() if "count=" in line and not line.startswith("#")]
    return [{name: float(value) for name, value in re.findall(rf"(\w+)=({NUMBER})", line)} for line in lines]


def tvm():
    """The figures of TVM's BenchmarkResult, in ms."""
    lines = sample("tvm_benchmark_output.txt").splitlines()
    row = next(number for number, line in enumerate(lines) if line.split()[:2] == ["mean", "(ms)"])
    return dict(zip(re.findall(r"(\w+) \(ms\)", lines[row]), map(float, lines[row + 1].split()), strict=True))


def test_every_summary_of_benchmark_model_is_read():
    found = tflite()
    assert [int(line["count"]) for line in found] == [9, 50, 1, 50, 7, 15, 1, 50]
    assert [line["avg"] for line in found if "avg" in line] == [57758.2, 55043.2, 1.24027e6, 76605.9, 66767.6, 2.95034e6]
    assert {name for line in found for name in line} == {"count", "first", "curr", "min", "max", "avg", "std", "p5", "median", "p95"}
    last = re.findall(rf"(?:Inference \(avg\)|no stats): ({NUMBER})", sample("tflite_benchmark_model_samples.txt"))
    assert list(map(float, last)) == [line["avg"] for line in found[1::2]]


def test_a_run_of_one_inference_has_its_median_and_no_percentile_of_ours():
    """The tool prints a p95 of it."""
    alone = [line for line in tflite() if line["count"] == 1]
    for line in alone:
        reading = dataclasses.replace(sample_measurement(1.0), blocks_ns=((round(1000 * line["curr"]),),))
        assert reading.median_ns == 1000 * line.get("median", line["curr"])
        assert (reading.percentile_ns(95), reading.upper_bound_ns(95)) == (None, None)
    assert [line.get("p95") for line in alone] == [1357602, None]


def test_fifty_runs_support_no_p95_of_ours_though_the_tool_prints_one():
    (line,) = [line for line in tflite() if line["count"] > 1 and "p95" in line]
    assert upper_bound_rank(int(line["count"]), 0.95) is None
    assert samples_needed(90) < line["count"] < samples_needed(95)
    assert line["min"] <= line["p5"] <= line["median"] <= line["p95"] <= line["max"]


def test_means_and_deviations_are_those_of_numbers_between_the_extremes():
    """The variance of numbers between two bounds is at most (largest - mean)(mean - smallest); figures have six digits."""
    for line in [*(line for line in tflite() if "std" in line), {**(found := tvm()), "avg": found["mean"]}]:
        assert line["min"] <= line["avg"] <= line["max"]
        assert line["std"] <= 1.001 * math.sqrt((line["max"] - line["avg"]) * (line["avg"] - line["min"]))


def test_tvms_figures_are_those_of_a_machine_that_we_call_quiet():
    found = tvm()
    assert found == {"mean": 23.6729, "median": 23.5176, "max": 24.7284, "min": 23.3980, "std": 0.3317}
    assert 0 < found["mean"] / found["median"] - 1 < WITHIN_MOST / 10  # the share that a reading calls stalled
