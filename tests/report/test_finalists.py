"""The report tells what the final protocol said of finalists before they were taught."""

from dataclasses import replace

from fakes.outcome import sample_outcome
from fakes.study import sample_study, with_finalists
from rich.console import Console

from autokd_edge.core.pupil import Failed
from autokd_edge.core.study import Study
from autokd_edge.report.finalists import finalists, finalists_in_words, refused_count
from autokd_edge.report.outcome import refusals
from autokd_edge.report.sections import probes
from autokd_edge.report.summary import summarise
from autokd_edge.report.table import goal_tables

NO_ANSWER = Failed(stage="measure", error="MeasureError", message="the device does not answer", retryable=True)


def two_of_three_refused() -> Study:
    return with_finalists(sample_study(), (1.01, 5.0, 4.0))


def test_nothing_is_said_where_no_finalist_was_read() -> None:
    assert finalists_in_words(sample_study()) == ""


def test_who_was_refused_is_counted_and_the_nearest_of_them_is_said() -> None:
    study = two_of_three_refused()
    said = finalists_in_words(study)
    assert said.startswith("3 untrained finalists were read by the final protocol (replayed): 1 kept the limits, and no long teaching")
    assert "was spent on the others; nearest of those: latency" in said
    assert [finalist.kept for finalist in finalists(study)] == [True, False, False]
    assert refused_count(study) == 2


def test_where_all_keep_the_limits_no_more_is_said() -> None:
    said = finalists_in_words(with_finalists(sample_study(), (1.01,)))
    assert said == "1 untrained finalist was read by the final protocol (replayed): 1 kept the limits"


def test_a_member_that_one_variant_keeps_the_limits_of_is_not_refused() -> None:
    study = with_finalists(sample_study(), (5.0, 1.01))
    first, second = study.confirmations
    assert refused_count(replace(study, confirmations=(first, replace(second, member=first.member)))) == 0


def test_a_finalist_that_could_not_be_read_is_refused_with_its_failure() -> None:
    study = with_finalists(sample_study(), (1.01,))
    study = replace(study, confirmations=(replace(study.confirmations[0], outcome=NO_ANSWER),))
    assert finalists_in_words(study).endswith("0 kept the limits, and no long teaching was spent on the other")
    assert ("measure", "MeasureError") in {(r.stage, r.reason) for r in refusals(study)}


def test_the_terminal_the_page_and_the_document_tell_it() -> None:
    outcome = replace(sample_outcome(), study=two_of_three_refused())
    console = Console(width=400, force_terminal=False)
    with console.capture() as capture:
        console.print(goal_tables(outcome))
    assert finalists_in_words(outcome.study) in capture.get()
    assert "1 kept the limits, and no long teaching was spent" in probes(outcome)
    document = summarise((outcome,))
    assert (document["counts"]["finalists_read_untrained"], document["counts"]["finalists_refused_untrained"]) == (3, 2)
    assert [one["kept"] for one in document["finalists"]] == [True, False, False]
    assert document["finalists"][0]["reading"]["protocol"] == "final"
    assert ("confirm", "latency above the limit", 2) in {(r["stage"], r["reason"], r["count"]) for r in document["refused"]}
