import dataclasses
import json
from typing import Any

import pytest
from fakes.outcome import infeasible_outcome, sample_outcome
from fakes.study import sample_measurement

from autokd_edge.core.pupil import Screened
from autokd_edge.report.canvas import AMBER, BLUE, GREEN, GREY, VIOLET, Plot
from autokd_edge.report.outcome import front
from autokd_edge.report.plots import accuracy_plot, histogram, history_plot, memory_plot, parameters_plot, samples_plot

pytest.importorskip("plotly", reason="plotly is not installed: pip install 'autokd-edge[report]'")


def traces(plot: Plot) -> list[Any]:
    found: list[Any] = json.loads(plot.figure)["data"]
    return found


def marks(plot: Plot, colour: str) -> list[tuple[float, float]]:
    found = [t for t in traces(plot) if t["mode"] == "markers" and t["marker"]["color"] == colour]
    return [pair for t in found for pair in zip(t["x"], t["y"], strict=True)]


def names(plot: Plot) -> list[str]:
    return [annotation["text"] for annotation in json.loads(plot.figure)["layout"]["annotations"]]


def test_accuracy_is_plotted_against_the_bound_that_the_limit_is_compared_with() -> None:
    outcome = sample_outcome()
    plot = accuracy_plot(outcome)
    assert outcome.grade is not None
    bound = outcome.grade.measurement.upper_bound_ns(50.0)
    assert bound is not None
    assert (bound / 1e6, outcome.grade.accuracy) in marks(plot, VIOLET)
    assert len(marks(plot, VIOLET)) == 2
    assert len(marks(plot, BLUE)) == 12
    ((x, y),) = marks(plot, AMBER)
    assert y == 94.1
    assert x == pytest.approx(1.197, abs=0.01)


def test_limits_are_named_with_their_values() -> None:
    assert names(accuracy_plot(sample_outcome())) == ["latency limit 299 µs", "accuracy floor 91.60 %"]


def test_a_relative_limit_is_drawn_as_it_is_for_the_protocol_shown() -> None:
    outcome = sample_outcome()
    screened = next(p.outcome for p in outcome.study.probes if isinstance(p.outcome, Screened))
    (bound,) = [slack.bound for slack in outcome.study.slacks(screened.measurements[0]) if slack.limit == "latency"]
    assert names(memory_plot(outcome)) == ["memory limit 6.00 MB", f"latency limit {bound / 1e3:.0f} µs"]
    assert names(memory_plot(outcome))[1] != names(accuracy_plot(outcome))[0]


def test_the_front_is_that_of_all_students() -> None:
    plot = accuracy_plot(sample_outcome())
    (line,) = [t for t in traces(plot) if t["mode"] == "lines" and t["line"]["color"] == GREEN]
    assert tuple(zip(line["x"], line["y"], strict=True)) == front([*marks(plot, BLUE), *marks(plot, VIOLET)])


def test_the_best_engine_has_a_mark_of_its_own_only_where_there_is_one() -> None:
    def symbols(plot: Plot) -> set[str]:
        return {t["marker"]["symbol"] for t in traces(plot) if t["mode"] == "markers" and t["x"]}

    assert "star" in symbols(accuracy_plot(sample_outcome()))
    assert "star" not in symbols(accuracy_plot(infeasible_outcome()))


@pytest.mark.parametrize("plot", [memory_plot, parameters_plot])
def test_every_measured_member_is_plotted_by_whether_it_fits(plot: Any) -> None:
    outcome = sample_outcome()
    shown = plot(outcome)
    fitting = sum(outcome.study.fits(p) for p in outcome.study.probes)
    measured = sum(isinstance(p.outcome, Screened) for p in outcome.study.probes)
    assert len(marks(shown, BLUE)) == fitting
    assert len(marks(shown, GREY)) == measured - fitting
    assert any(key.text == f"refused: {measured - fitting}" for key in shown.keys)


def test_a_refused_member_says_why() -> None:
    texts = [
        text for t in traces(memory_plot(sample_outcome())) if t["mode"] == "markers" and t["marker"]["color"] == GREY for text in t["text"]
    ]
    assert all(text.startswith("<b>refused: latency above the limit</b>") for text in texts)


def test_the_history_rises_and_ends_with_the_counts() -> None:
    outcome = sample_outcome()
    plot = history_plot(outcome)
    best = next(t for t in traces(plot) if t["mode"] == "lines" and t["line"]["color"] == GREEN)
    assert best["y"] == sorted(best["y"])
    assert best["x"][-1] == outcome.study.elapsed_s / 60
    counts = [t["y"][-1] for t in traces(plot) if t["mode"] == "lines" and t.get("yaxis") == "y2"]
    assert counts == [len(outcome.study.probes), len(outcome.study.teachings), len(outcome.study.grades)]


def test_every_sample_but_the_tails_is_in_the_histogram() -> None:
    plot = samples_plot(sample_outcome())
    assert plot is not None
    for trace in traces(plot):
        assert 99 <= sum(trace["y"]) <= 100 + 1e-9
    assert samples_plot(infeasible_outcome()) is None


def test_a_histogram_counts_each_sample_in_its_bin() -> None:
    edges, shares = histogram([1.0, 1.0, 99.9, 500.0], (1.0, 100.0))
    assert len(edges) == len(shares) + 1
    assert shares[0] == 50
    assert shares[-1] == 25
    assert sum(shares) == 75


def test_data_cannot_write_html_into_a_text() -> None:
    outcome = sample_outcome()
    evil = dataclasses.replace(outcome.study.config, teacher="<a href='x'>teacher</a>")
    outcome = dataclasses.replace(outcome, study=dataclasses.replace(outcome.study, config=evil))
    assert "<a href" not in json.dumps(traces(accuracy_plot(outcome)))


def test_a_latency_limit_without_enough_samples_falls_back_to_no_plotted_bound() -> None:
    few = dataclasses.replace(sample_measurement(1e6), blocks_ns=((10, 11, 12),))
    outcome = sample_outcome()
    probed = outcome.study.probes[0]
    assert isinstance(probed.outcome, Screened)
    goal = dataclasses.replace(outcome.study.goal, limits=dataclasses.replace(outcome.study.goal.limits, latency=None))
    study = dataclasses.replace(
        outcome.study,
        config=dataclasses.replace(outcome.study.config, goals=(goal,)),
        probes=(dataclasses.replace(probed, outcome=dataclasses.replace(probed.outcome, measurements=(few,))),),
    )
    ((x, _),) = marks(memory_plot(dataclasses.replace(outcome, study=study)), BLUE)
    assert x == pytest.approx(11 / 1e6)  # the median
