"""Plotly in the page's style: marks, lines and limits on one figure, and its legend in plain HTML.

Colours are of middle lightness, so that they stand out on a light and on a dark page; texts and
grid lines take the page's own colours by its style sheet. Texts made of data must be escaped,
because Plotly reads a few HTML tags in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autokd_edge.core.measure import Measurement
from autokd_edge.report import wording

BLUE, VIOLET, GREEN, AMBER, RED, GREY = "#3b82f6", "#8b5cf6", "#10b981", "#f59e0b", "#ef4444", "#8b98a9"
Form: TypeAlias = Literal["circle", "square", "diamond", "star", "x", "line", "dash"]
Mark: TypeAlias = tuple[float, float, str]  # x, y and what is said of it (escaped)
# Leading digits of the ticks of a logarithmic axis, by the decades that it spans at most.
_DIGITS = ((0.6, (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)), (1.3, (1, 1.5, 2, 3, 5, 7)), (math.inf, (1, 2, 5)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend."""

    colour: str
    form: Form
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A finished plot; ``conditions`` says device, runtime, precision, protocol and origin of everything shown."""

    name: str
    figure: str  # JSON of Plotly's data and layout
    keys: tuple[Key, ...]
    conditions: tuple[str, ...]


class Canvas:
    """A Plotly figure of one or more rows that share the x axis; rows count from 1."""

    def __init__(self, x_title: str, *y_titles: str, heights: Sequence[float] = (1.0,)) -> None:
        from plotly.subplots import make_subplots

        rows = len(y_titles)
        self._figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, row_heights=list(heights), vertical_spacing=0.08)
        self._figure.update_layout(
            template="none",
            showlegend=False,
            margin={"l": 64, "r": 16, "t": 12, "b": 52},
            height=440 if rows == 1 else 540,
            paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)",
            font={"family": "inherit", "size": 13, "color": GREY},
            hoverlabel={"bgcolor": "#1e293b", "bordercolor": "#1e293b", "align": "left", "font": {"color": "#f8fafc", "size": 13}},
        )
        self._figure.update_xaxes(gridcolor=GREY, zeroline=False, ticks="outside", ticklen=4, tickcolor="rgba(0,0,0,0)", automargin=True)
        self._figure.update_yaxes(gridcolor=GREY, zeroline=False, ticks="outside", ticklen=4, tickcolor="rgba(0,0,0,0)", automargin=True)
        self._figure.update_xaxes(title_text=x_title, title_font_size=13, title_standoff=10, row=rows, col=1)
        for row, title in enumerate(y_titles, start=1):
            self._figure.update_yaxes(title_text=title, title_font_size=13, title_standoff=10, row=row, col=1)
        self._keys: list[Key] = []
        self._is_log_x = False
        self._log_rows: list[int] = []
        self._reach: dict[int, list[float]] = {0: []}  # x (under 0) and y (under the row) of all that is drawn

    def key(self, colour: str, form: Form, text: str) -> None:
        """Add an entry to the legend."""
        self._keys.append(Key(colour=colour, form=form, text=text))

    def log_x(self) -> None:
        """Make the x axis logarithmic."""
        self._figure.update_xaxes(type="log")
        self._is_log_x = True

    def log_y(self, *, row: int = 1) -> None:
        """Make a y axis logarithmic."""
        self._figure.update_yaxes(type="log", row=row, col=1)
        self._log_rows.append(row)

    def marks(self, marks: Iterable[Mark], colour: str, form: Form, *, size: int = 10, row: int = 1) -> None:
        """Draw points that say something when they are pointed at."""
        found = tuple(marks)
        self._reached((x for x, _, _ in found), (y for _, y, _ in found), row)
        self._figure.add_scatter(
            x=[x for x, _, _ in found],
            y=[y for _, y, _ in found],
            text=[text for _, _, text in found],
            hovertemplate="%{text}<extra></extra>",
            mode="markers",
            marker={"color": colour, "symbol": form, "size": size, "line": {"width": 1, "color": "rgba(255,255,255,0.7)"}},
            opacity=0.9,
            row=row,
            col=1,
        )

    def steps(self, points: Iterable[tuple[float, float]], colour: str, *, row: int = 1) -> None:
        """Draw a line that keeps its height until the next point."""
        found = tuple(points)
        self._reached((x for x, _ in found), (y for _, y in found), row)
        self._figure.add_scatter(
            x=[x for x, _ in found],
            y=[y for _, y in found],
            mode="lines",
            line={"color": colour, "width": 2, "shape": "hv"},
            hoverinfo="skip",
            row=row,
            col=1,
        )

    def area(self, edges: Sequence[float], shares: Sequence[float], colour: str) -> None:
        """Draw a histogram as a filled outline; ``edges`` are one more than ``shares``."""
        self._reached(edges, shares, 1)
        self._figure.add_scatter(
            x=[edges[0], *edges],
            y=[0.0, *shares, 0.0],
            mode="lines",
            line={"color": colour, "width": 1.5, "shape": "hv"},
            fill="tozeroy",
            hoverinfo="skip",
        )

    def x_limit(self, at: float, text: str, colour: str = RED) -> None:
        """Draw a vertical line with its name beside its top."""
        self._reached((at,), (), 1)
        self._figure.add_vline(x=at, line={"color": colour, "width": 1.5, "dash": "dash"}, exclude_empty_subplots=False)
        place = math.log10(at) if self._is_log_x else at  # for an annotation, though not for a line, Plotly wants the logarithm
        self._figure.add_annotation(
            x=place, xref="x", y=1, yref="paper", text=text, showarrow=False, xanchor="left", yanchor="top", xshift=4
        )

    def y_limit(self, at: float, text: str, colour: str = RED, *, row: int = 1) -> None:
        """Draw a horizontal line, on a linear axis, with its name above its left end."""
        self._figure.add_hline(y=at, line={"color": colour, "width": 1.5, "dash": "dash"}, row=row, col=1, exclude_empty_subplots=False)
        axis = "y" if row == 1 else f"y{row}"
        self._figure.add_annotation(
            x=0, xref="paper", y=at, yref=axis, text=text, showarrow=False, xanchor="left", yanchor="bottom", xshift=4
        )

    def plot(self, name: str, shown: Iterable[Measurement]) -> Plot:
        """Finish."""
        if self._is_log_x:
            self._figure.update_xaxes(**_log_ticks(self._reach[0]))
        for row in self._log_rows:
            self._figure.update_yaxes(**_log_ticks(self._reach.get(row, [])), row=row, col=1)
        return Plot(name=name, figure=self._figure.to_json(), keys=tuple(self._keys), conditions=wording.all_conditions(shown))

    def _reached(self, xs: Iterable[float], ys: Iterable[float], row: int) -> None:
        self._reach[0].extend(xs)
        self._reach.setdefault(row, []).extend(ys)


def _log_ticks(values: Sequence[float]) -> dict[str, list[float] | list[str]]:
    """Choose ticks: Plotly's own are either at powers of ten alone or too small to be read."""
    low, high = min(values, default=1.0), max(values, default=10.0)
    decades = math.log10(high / low)
    digits = next(found for most, found in _DIGITS if decades <= most)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    return {"tickvals": ticks, "ticktext": [f"{tick / 1e6:.3g} M" if tick >= 1e6 else f"{tick:,.6g}" for tick in ticks]}
