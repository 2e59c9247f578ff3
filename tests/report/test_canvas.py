import json
import math
from typing import Any

import pytest
from fakes.study import sample_measurement

from autokd_edge.report.canvas import BLUE, GREEN, Canvas

pytest.importorskip("plotly", reason="plotly is not installed: pip install 'autokd-edge[report]'")


def figure(canvas: Canvas) -> Any:
    return json.loads(canvas.plot("p", ()).figure)


def test_marks_carry_their_texts() -> None:
    canvas = Canvas("x", "y")
    canvas.marks([(1.0, 2.0, "one"), (3.0, 4.0, "two")], BLUE, "diamond")
    (trace,) = figure(canvas)["data"]
    assert (trace["x"], trace["y"], trace["text"]) == ([1.0, 3.0], [2.0, 4.0], ["one", "two"])
    assert trace["marker"]["symbol"] == "diamond"
    assert trace["marker"]["color"] == BLUE


def test_steps_keep_their_height_until_the_next_point() -> None:
    canvas = Canvas("x", "y")
    canvas.steps([(1.0, 2.0), (3.0, 4.0)], GREEN)
    (trace,) = figure(canvas)["data"]
    assert trace["line"]["shape"] == "hv"


def test_a_histogram_has_one_height_for_each_bin_and_ends_at_zero() -> None:
    canvas = Canvas("x", "y")
    canvas.area([1.0, 2.0, 4.0], [30.0, 70.0], BLUE)
    (trace,) = figure(canvas)["data"]
    assert list(zip(trace["x"], trace["y"], strict=True)) == [(1.0, 0.0), (1.0, 30.0), (2.0, 70.0), (4.0, 0.0)]


@pytest.mark.parametrize("is_log", [False, True])
def test_a_vertical_limit_and_its_name_are_at_the_same_place(is_log: bool) -> None:
    canvas = Canvas("x", "y")
    if is_log:
        canvas.log_x()
    canvas.x_limit(0.3, "limit")
    layout = figure(canvas)["layout"]
    assert layout["shapes"][0]["x0"] == 0.3
    assert layout["annotations"][0]["x"] == pytest.approx(math.log10(0.3) if is_log else 0.3)
    assert layout["annotations"][0]["text"] == "limit"


def test_limits_are_drawn_before_anything_else_is() -> None:
    canvas = Canvas("x", "upper", "lower", heights=(0.5, 0.5))
    canvas.x_limit(1.0, "x limit")
    canvas.y_limit(2.0, "y limit", row=2)
    layout = figure(canvas)["layout"]
    assert [shape["yref"] for shape in layout["shapes"] if shape["x0"] == shape["x1"]] == ["y domain", "y2 domain"]
    assert [shape["yref"] for shape in layout["shapes"] if shape["y0"] == shape["y1"]] == ["y2"]
    assert layout["annotations"][-1]["yref"] == "y2"


def test_a_plot_says_the_conditions_of_what_it_shows_once() -> None:
    readings = [sample_measurement(1e6), sample_measurement(2e6)]
    assert len(Canvas("x", "y").plot("p", readings).conditions) == 1


def test_keys_keep_their_order() -> None:
    canvas = Canvas("x", "y")
    canvas.key(BLUE, "circle", "first")
    canvas.key(GREEN, "line", "second")
    assert [key.text for key in canvas.plot("p", ()).keys] == ["first", "second"]


@pytest.mark.parametrize("last", [1.4, 4.0, 12.0, 300.0])
def test_a_logarithmic_axis_has_a_few_readable_ticks_whatever_it_spans(last: float) -> None:
    canvas = Canvas("x", "y")
    canvas.log_x()
    canvas.marks([(0.03, 1.0, ""), (0.03 * last, 2.0, "")], BLUE, "circle")
    axis = figure(canvas)["layout"]["xaxis"]
    seen = [text for at, text in zip(axis["tickvals"], axis["ticktext"], strict=True) if 0.03 <= at <= 0.03 * last]
    assert 2 <= len(seen) <= 9
    assert all(float(text.replace(",", "")) >= 0.03 for text in seen)


def test_large_ticks_are_written_in_millions() -> None:
    canvas = Canvas("x", "y")
    canvas.log_y()
    canvas.marks([(1.0, 50_000.0, ""), (2.0, 3e6, "")], BLUE, "circle")
    axis = figure(canvas)["layout"]["yaxis"]
    assert {"50,000", "100,000", "1 M", "2 M"} <= set(axis["ticktext"])
