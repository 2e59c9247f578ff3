import json

from fakes.outcome import CLOSEST, infeasible_outcome, outcomes_of_two, sample_outcome
from fakes.study import sample_config

from autokd_edge.core.events import Opened
from autokd_edge.core.study import fold
from autokd_edge.report.outcome import Outcome
from autokd_edge.report.summary import summarise


def test_a_summary_is_json_without_nan() -> None:
    summary = summarise((sample_outcome(),))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_counts_are_those_of_the_study() -> None:
    outcome = sample_outcome()
    counts = summarise((outcome,))["counts"]
    assert counts["probed"] == 60
    assert counts["measured"] == 57
    assert counts["fitting"] == sum(outcome.study.fits(p) for p in outcome.study.probes)
    assert counts["taught"] == 12
    assert counts["graded"] == counts["keeping_all_limits"] == 2


def test_the_best_engine_comes_with_its_reading_and_limits_in_named_units() -> None:
    outcome = sample_outcome()
    assert outcome.grade is not None
    best = summarise((outcome,))["best"]
    reading = best["reading"]
    assert reading["origin"] == "replay"
    assert reading["median_ns"] == outcome.grade.measurement.median_ns
    assert reading["p99_upper_bound_ns"] == outcome.grade.measurement.upper_bound_ns(99.0)
    assert reading["samples"] == 500
    assert [limit["unit"] for limit in best["limits"]] == ["ns", "bytes", "points below the teacher"]
    assert all(limit["kept"] for limit in best["limits"])
    assert best["engine_sha256"] == outcome.grade.engine
    assert best["parameters"] == 116_103


def test_every_figure_of_a_reading_has_its_conditions() -> None:
    reading = summarise((sample_outcome(),))["best"]["reading"]
    assert {"target", "processor", "backend", "precision", "protocol", "threads", "toolchain", "virtual", "flags"} <= set(reading)


def test_test_accuracies_say_what_computed_them() -> None:
    found = {(a["what"], a["split"]): a for a in summarise((sample_outcome(),))["accuracies"]}
    assert found["student engine", "test"]["accuracy_percent"] == 92.6
    assert found["student engine", "test"]["computed_by"] == "openvino fp32"


def test_an_infeasible_study_has_no_best_and_names_the_closest() -> None:
    summary = summarise((infeasible_outcome(),))
    assert summary["best"] is None
    assert summary["closest"] == CLOSEST
    assert summary["bundle_manifest_sha256"] is None
    assert not any(limit["kept"] for engine in summary["engines"] for limit in engine["limits"] if limit["limit"] == "latency")
    assert {"stage": "teach", "reason": "TeachError", "count": 1, "example": "the loss is not finite at step 120"} in summary["refused"]


def test_a_study_that_has_only_begun_can_be_summarised() -> None:
    summary = summarise((Outcome(name="new", study=fold((Opened(config=sample_config(), at_s=0.0),)), best=None),))
    assert summary["teacher"] is None
    assert summary["engines"] == []
    assert json.dumps(summary)


def test_of_two_targets_there_is_a_summary_for_each() -> None:
    document = summarise(outcomes_of_two())
    assert (document["study"], [goal["target"] for goal in document["goals"]]) == ("sample", ["host", "pi"])
    assert all(goal["best"]["limits"] for goal in document["goals"])
