import dataclasses

import pytest
from fakes.outcome import sample_outcome
from rich.console import Console

from autokd_edge.core.explanation import Explanation, Influence, Loosened
from autokd_edge.report.explained import reasons, rows
from autokd_edge.report.sections import reasons as reasons_section
from autokd_edge.report.summary import summarise
from autokd_edge.report.table import report_tables

LATENCY = Loosened(
    limit="latency",
    bound=1e6,
    loosened=1.1e6,
    broken=20,
    broken_alone=15,
    fitting=4,
    fitting_then=7,
    predicted=91.25,
    gain=0.5,
)
MEMORY = dataclasses.replace(LATENCY, limit="memory", broken=5, broken_alone=1, fitting_then=4, predicted=90.75, gain=0.0)
FOUND = Explanation(
    measured=24,
    lessons=8,
    loosened=(LATENCY, MEMORY),
    influences=(
        Influence(parameter="N_m", accuracy=0.6, latency=0.7),
        Influence(parameter="tau", accuracy=0.001, latency=0.0),
        Influence(parameter="P_m", accuracy=None, latency=0.02),
    ),
)


def explained(found):
    return dataclasses.replace(sample_outcome(), explanation=found)


def test_the_binding_limit_and_what_more_of_each_would_buy_are_said():
    assert reasons(explained(FOUND)) == (
        "The limit that binds is latency: 20 of 24 candidates break it, 15 of them no other.",
        (
            "10 % more latency (1.10 ms instead of 1.00 ms) is predicted to buy +0.50 points, to 91.25 % after a teaching of the search; "
            "7 of 24 candidates would fit instead of 4."
        ),
        "10 % more memory (1.10 MB instead of 1.00 MB) is predicted to buy nothing; 4 of 24 candidates would fit instead of 4.",
    )


def test_without_a_model_of_accuracy_the_counts_are_left_and_the_reason_is_given():
    one = dataclasses.replace(LATENCY, gain=None, predicted=None)
    said = reasons(explained(dataclasses.replace(FOUND, loosened=(one,), unexplained="there were 2 teachings")))
    assert said[1] == "With 10 % more latency (1.10 ms instead of 1.00 ms) 7 of 24 candidates would fit instead of 4."
    assert said[2] == "Nothing is predicted of accuracy: there were 2 teachings."


def test_where_every_candidate_fits_no_limit_binds():
    one = dataclasses.replace(LATENCY, broken=0, broken_alone=0)
    assert reasons(explained(dataclasses.replace(FOUND, loosened=(one,))))[0].startswith("No device limit binds: all 24 candidates")


def test_parameters_that_hardly_matter_are_left_out():
    assert rows(explained(FOUND)) == [("N_m", "60 %", "70 %"), ("P_m", "no model", "2 %")]


def test_terminal_page_and_summary_tell_the_same():
    outcome = explained(FOUND)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(report_tables([outcome]))
    for text in (capture.get(), reasons_section(outcome)):
        assert "The limit that binds is latency" in text
        assert "N_m" in text
        assert "predicted" in text
    assert summarise([outcome])["explanation"]["loosened"][0]["gain"] == 0.5


@pytest.mark.parametrize("told", [reasons, rows, reasons_section])
def test_without_an_explanation_nothing_is_said(told):
    assert not told(sample_outcome())
