import dataclasses

from fakes.outcome import infeasible_outcome, sample_outcome
from fakes.study import sample_config

from autokd_edge.core.events import Opened
from autokd_edge.core.study import fold
from autokd_edge.report.comparison import Line, compare
from autokd_edge.report.outcome import Outcome


def lines(outcome: Outcome) -> dict[str, Line]:
    return {line.quantity: line for line in compare(outcome)}


def test_accuracies_of_both_splits_and_who_computed_them_stand_side_by_side() -> None:
    found = lines(sample_outcome())
    assert found["Accuracy, validation"] == Line(
        quantity="Accuracy, validation", teacher="94.10 %", student="93.31 %", compared="\N{MINUS SIGN}0.79 points"
    )
    assert found["Accuracy, test"] == Line(
        quantity="Accuracy, test", teacher="93.62 %", student="92.60 %", compared="\N{MINUS SIGN}1.02 points"
    )
    assert found["Accuracy computed by"].student == "openvino fp32 on Sample Processor 2.0 GHz"


def test_counts_are_exact() -> None:
    outcome = sample_outcome()
    assert outcome.student_cost is not None
    found = lines(outcome)["Parameters"]
    assert found.teacher == "697,370"
    assert found.student == f"{outcome.student_cost.parameters:,}"
    assert found.compared.endswith("\N{MULTIPLICATION SIGN} fewer")


def test_latency_comes_as_median_p99_and_the_bound_that_the_limit_is_compared_with() -> None:
    outcome = sample_outcome()
    assert outcome.grade is not None
    found = lines(outcome)
    assert found["Latency, median of blocks"].compared.endswith("\N{MULTIPLICATION SIGN} faster")
    assert found["Latency p99"].student == "205 µs"
    assert found["Latency p50, upper bound"].compared == "limit 299 µs, kept"
    assert found["Samples"].student == "500 in 5 blocks"
    assert found["Peak memory over a null engine"].compared == "5.25\N{MULTIPLICATION SIGN} less, limit 6.00 MB, kept"


def test_device_runtime_protocol_origin_and_flags_are_always_told() -> None:
    outcome = sample_outcome()
    assert outcome.best is not None
    assert outcome.grade is not None
    noisy = dataclasses.replace(
        outcome.grade, measurement=dataclasses.replace(outcome.grade.measurement, flags=("noisy", "clocks=unlocked"))
    )
    found = lines(dataclasses.replace(outcome, best=dataclasses.replace(outcome.best, outcome=noisy)))
    assert found["Device"].student == "host (Sample Processor 2.0 GHz, virtual machine)"
    assert found["Runtime"].student == "openvino 2026.4.1, 1 thread"
    assert found["Protocol"].student == "final"
    assert found["Variant"].student == "openvino/int8"
    assert found["Reading"].student == "replayed, noisy, clocks=unlocked"


def test_without_a_best_engine_the_students_column_is_dashes() -> None:
    found = lines(infeasible_outcome())
    assert {line.student for line in found.values()} == {"—"}
    assert found["Parameters"].teacher == "697,370"


def test_a_study_that_has_only_begun_is_all_dashes() -> None:
    found = lines(Outcome(name="new", study=fold((Opened(config=sample_config(), at_s=0.0),)), best=None))
    assert {line.student for line in found.values()} | {line.teacher for line in found.values()} == {"—"}
