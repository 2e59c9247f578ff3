import dataclasses

from fakes.outcome import infeasible_outcome, outcomes_of_two, sample_outcome, tuned_outcome
from fakes.study import sample_config
from rich.console import Console

from autokd_edge.core.events import Opened
from autokd_edge.core.study import fold
from autokd_edge.report.outcome import Outcome
from autokd_edge.report.table import refusals_table, report_tables, variants_table, verdict


def printed(*outcomes: Outcome, width: int = 140) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(report_tables(outcomes))
    return capture.get()


def test_the_verdict_names_the_engine_and_every_limit() -> None:
    assert verdict(sample_outcome()) == (
        "all limits kept by openvino/int8: "
        "latency 196 µs (limit 299 µs), memory 1.85 MB (limit 6.00 MB), accuracy drop 0.79 points (limit 2.50)"
    )


def test_without_a_best_engine_the_verdict_is_the_closest_candidate() -> None:
    outcome = infeasible_outcome()
    assert verdict(outcome) == f"no student keeps all limits yet: {outcome.closest}"
    assert verdict(dataclasses.replace(outcome, closest="")) == "no student keeps all limits yet"


def test_the_tables_hold_the_comparison_the_engines_and_the_refusals() -> None:
    text = printed(sample_outcome())
    for said in ("Teacher beside student, study 'sample'", "697,370", "195 µs", "kept, the best", "BuildError", "no kernel for this shape"):
        assert said in text
    assert "replayed" in text
    assert "measured" not in text


def test_engines_that_break_a_limit_say_which() -> None:
    assert "broken: latency" in printed(infeasible_outcome())


def test_nothing_is_cut_in_a_narrow_terminal() -> None:
    assert "".join(printed(sample_outcome(), width=60).split()).count("openvino/int8") >= 1


def test_brackets_in_data_are_not_taken_for_markup() -> None:
    outcome = dataclasses.replace(infeasible_outcome(), name="[red]x[/red]", closest="[bold]y")
    text = printed(outcome)
    assert "[red]x[/red]" in text
    assert "[bold]y" in text


def test_a_study_that_has_only_begun_has_neither_engines_nor_refusals() -> None:
    outcome = Outcome(name="new", study=fold((Opened(config=sample_config(), at_s=0.0),)), best=None)
    assert variants_table(outcome) is None
    assert refusals_table(outcome) is None
    assert "no student keeps all limits yet" in printed(outcome)


def test_of_two_targets_each_has_its_tables_below_its_name() -> None:
    text = printed(*outcomes_of_two())
    first, second = text.split(" target pi ")
    assert " target host " in first
    for part in (first, second):
        assert part.count("all limits kept by openvino/int8") == part.count("Teacher beside student") == 1


def test_what_tuning_won_is_said() -> None:
    assert "he shipped engine: tuned 14 workloads, 112 candidates in 48 s: 310 µs against 360 µs" in printed(tuned_outcome(), width=200)
