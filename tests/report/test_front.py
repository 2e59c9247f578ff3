import dataclasses
import json

import pytest
from fakes.bundle import sample_card
from fakes.study import INT8, sample_config, sample_study
from report.test_table import printed

from autokd_edge.core.events import Graded, Opened
from autokd_edge.core.front import front_of
from autokd_edge.core.pupil import Grade
from autokd_edge.core.study import Study, fold
from autokd_edge.report import front
from autokd_edge.report.canvas import GREEN, VIOLET
from autokd_edge.report.outcome import OnFront, Outcome
from autokd_edge.report.page import page
from autokd_edge.report.plots import accuracy_by_memory_plot, accuracy_plot
from autokd_edge.report.summary import summarise


def of_front(study: Study) -> Study:
    goals = tuple(dataclasses.replace(goal, pareto=("latency", "memory")) for goal in study.config.goals)
    return dataclasses.replace(study, config=dataclasses.replace(study.config, goals=goals))


def changed(graded: Graded, number: int, *, times: float, points: float, study: Study) -> Graded:
    """Make another student's engine, so many times slower and so many points more accurate."""
    grade = graded.outcome
    assert isinstance(grade, Grade)
    blocks = tuple(tuple(round(times * ns) for ns in block) for block in grade.measurement.blocks_ns)
    reading = dataclasses.replace(grade.measurement, blocks_ns=blocks)
    pupil = study.teachings[number].pupil
    return dataclasses.replace(
        graded, pupil=pupil, outcome=dataclasses.replace(grade, accuracy=grade.accuracy + points, measurement=reading)
    )


def an_outcome(*, shipped: bool = True) -> Outcome:
    """Make an outcome with two engines on the front, one that is beaten by the first and one that is too slow."""
    study = of_front(sample_study())
    fast = next(graded for graded in study.grades if graded.variant == INT8)
    others = [changed(fast, number, times=times, points=points, study=study) for number, times, points in ((0, 1.1, -0.5), (1, 3.0, 0.5))]
    study = dataclasses.replace(study, grades=(*study.grades, *others))
    engines = front_of(study)
    assert [graded.variant.precision for graded in engines] == ["int8", "fp32"]
    accuracies = sample_card().accuracies if shipped else ()
    shown = tuple(
        OnFront(graded=g, bundle=f"bundles/{i}" if shipped else "", accuracies=accuracies) for i, g in enumerate(engines, start=1)
    )
    return Outcome(name="sample", study=study, best=engines[-1], accuracies=accuracies, front=shown)


def test_every_engine_has_its_place_and_the_fastest_comes_first_after_the_teacher() -> None:
    found = front.rows(an_outcome())
    assert [row[-1] for row in found] == ["\N{EM DASH}", "bundles/1", "beaten by bundles/1", "bundles/2", "breaks latency"]
    assert [row[0] for row in found][:2] == ["teacher", "student 1, openvino/int8"]
    assert all(len(row) == len(front.columns(an_outcome())) for row in found)


def test_test_accuracies_are_said_of_what_is_shipped_alone() -> None:
    test = next(f"{a.percent:.2f} %" for a in sample_card().accuracies if (a.what, a.split) == ("student engine", "test"))
    assert [row[2] for row in front.rows(an_outcome())][1:] == [test, "\N{EM DASH}", test, "\N{EM DASH}"]


def test_while_no_bundle_is_written_the_engines_say_that_they_are_on_the_front() -> None:
    assert [row[-1] for row in front.rows(an_outcome(shipped=False))][1:3] == ["yes", "beaten by student 1, openvino/int8"]


def test_the_line_names_both_ends() -> None:
    outcome = an_outcome()
    low, high = (one.graded.outcome.accuracy for one in outcome.front if isinstance(one.graded.outcome, Grade))
    assert front.told(outcome).startswith(
        f"front of accuracy against latency and memory: 2 engines keep all limits, from {low:.2f} % in 19"
    )
    assert f"to {high:.2f} % in 27" in front.told(outcome)


def test_a_study_that_was_cut_off_before_any_grade_tells_of_the_students_so_far() -> None:
    outcome = Outcome(name="sample", study=of_front(sample_study(final=False)), best=None)
    found = front.rows(outcome)[1:]
    assert {row[-1] for row in found} == {"so far"}
    assert all(row[1].endswith("%, float") for row in found)
    assert "taught for 300 steps" in printed(outcome, width=200)


def test_a_study_that_has_only_begun_has_an_empty_front() -> None:
    outcome = Outcome(name="new", study=of_front(fold((Opened(config=sample_config(), at_s=0.0),))), best=None)
    assert front.rows(outcome) == []
    assert front.told(outcome) == ""
    assert "no student keeps all limits yet" in printed(outcome)


def test_terminal_and_json_have_the_same_front() -> None:
    outcome = an_outcome()
    text = printed(outcome, width=200)
    assert front.told(outcome) in text
    assert "The front of accuracy against latency and memory (replayed)" in text
    assert "measured" not in text.replace("not measured", "")
    document = json.loads(json.dumps(summarise((outcome,))))
    assert (document["pareto"], [one["bundle"] for one in document["front"]]) == (["latency", "memory"], ["bundles/1", "bundles/2"])
    first = outcome.front[0].graded.outcome
    assert isinstance(first, Grade)
    assert document["front"][0]["engine_sha256"] == first.engine
    assert document["front"][0]["latency_upper_bound_ns"] == first.measurement.upper_bound_ns(50.0)


def test_the_page_draws_the_front_and_the_teacher_by_latency_and_by_memory() -> None:
    pytest.importorskip("plotly", reason="plotly is not installed: pip install 'autokd-edge[report]'")
    outcome = an_outcome()
    for plot in (accuracy_plot(outcome), accuracy_by_memory_plot(outcome)):
        traces = json.loads(plot.figure)["data"]
        (line,) = [t for t in traces if t["mode"] == "lines" and t["line"]["color"] == GREEN]
        (stars,) = [t for t in traces if t["mode"] == "markers" and (t["marker"]["color"], t["marker"]["symbol"]) == (VIOLET, "star")]
        assert len(stars["x"]) == 2
        assert sorted(zip(line["x"], line["y"], strict=True)) == sorted(zip(stars["x"], stars["y"], strict=True))
        assert [key.text for key in plot.keys if key.form in {"star", "square"}] == ["engine on the front, shipped", "teacher"]
    html = page((outcome,))
    assert "<h2>The front: accuracy against latency and memory</h2>" in html
    assert "<h2>Accuracy against latency</h2>" not in html
    assert "<h2>Teacher beside the most accurate student</h2>" in html
