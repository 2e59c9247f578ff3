"""One self-contained HTML page about a study: it reaches for nothing outside of itself."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from autokd_edge.core.atomic import written_whole
from autokd_edge.errors import InputError
from autokd_edge.report import sections
from autokd_edge.report.outcome import Outcome
from autokd_edge.report.table import verdict

# The page may run its own script and style, and its browser refuses everything else.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_SECTIONS = (
    sections.header,
    sections.cards,
    sections.front,
    sections.comparison,
    sections.accuracy,
    sections.reasons,
    sections.engines,
    sections.family,
    sections.architecture,
    sections.probes,
    sections.samples,
    sections.history,
    sections.provenance,
)


def write_page(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the page in one step: an older one stays whole until the new one is there.

    Raises:
        InputError: the page cannot be written, or Plotly is not installed.
    """
    try:
        text = page(outcomes)
    except ModuleNotFoundError as error:
        package = (error.name or "plotly").partition(".")[0]
        raise InputError(f"the report page needs the package '{package}'", hint="pip install 'autokd-edge[report]'") from error
    try:
        with written_whole(path) as begun:
            begun.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"report '{path}' cannot be written: {error.strerror}", hint="free some space, or give another --out") from error


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the page of one study as HTML, one goal below another; equal outcomes give equal pages.

    Raises:
        ModuleNotFoundError: Plotly is not installed.
    """
    targets = [outcome.study.goal.target for outcome in outcomes]
    body = _links(outcomes) + "\n".join(_goal(outcome, number) for number, outcome in enumerate(outcomes))
    title = escape(f"{outcomes[0].name}: a student for {' and one for '.join(targets)}")
    here = Path(__file__)
    style, script = (here.with_suffix(suffix).read_text("utf-8") for suffix in (".css", ".js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
<footer>Written by autokd-edge. All that this page shows lies in this one file.</footer>
</main>
<script>{_plotly_js()}</script>
<script>
{script}</script>
</body>
</html>
"""


def _links(outcomes: Sequence[Outcome]) -> str:
    """Lead to each goal from the top of the page; an empty text where there is one."""
    if len(outcomes) == 1:
        return ""
    links = (
        f'<li><a href="#goal-{number}">{escape(outcome.study.goal.target)}</a>: {escape(verdict(outcome))}</li>'
        for number, outcome in enumerate(outcomes)
    )
    return f'<nav><p class="note">One search, {len(outcomes)} targets; teachings are shared.</p><ul>{"".join(links)}</ul></nav>'


def _goal(outcome: Outcome, number: int) -> str:
    body = "\n".join(filter(None, (section(outcome) for section in _SECTIONS)))
    return f'<article id="goal-{number}">{body}</article>'


def _plotly_js() -> str:
    """Return Plotly's own script, as its package ships it."""
    offline: Any = importlib.import_module("plotly.offline")
    return str(offline.get_plotlyjs())
