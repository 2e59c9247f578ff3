"""Small pieces of HTML: tables, plots with their legends, definition lists; every text is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from autokd_edge.report.canvas import Form, Key, Plot

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:[nµm]?s|[kMG]?B|%)(?!\w))")
_FORMS: dict[Form, str] = {
    "circle": '<circle cx="9" cy="7" r="4.6" fill="{c}"/>',
    "square": '<rect x="4.5" y="2.5" width="9" height="9" fill="{c}"/>',
    "diamond": '<path d="M9 1.2 14.8 7 9 12.8 3.2 7Z" fill="{c}"/>',
    "star": '<path d="M9 .6l1.9 4.1 4.5.5-3.3 3 .9 4.4L9 10.4l-4 2.2.9-4.4-3.3-3 4.5-.5Z" fill="{c}"/>',
    "x": '<path d="M5 3l8 8M13 3l-8 8" stroke="{c}" stroke-width="2.4"/>',
    "line": '<path d="M0 7h18" stroke="{c}" stroke-width="2.4"/>',
    "dash": '<path d="M0 7h18" stroke="{c}" stroke-width="2" stroke-dasharray="4 3"/>',
}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, strong: int | None = None, css: str = "") -> str:
    """Write a table whose first column names the row; ``strong`` is the number of a column to stress.

    The cells between the first and the last carry their column's name, for narrow screens.
    """
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = []
    for row in rows:
        cells = [f'<th scope="row">{escape(row[0])}</th>']
        for number, cell in enumerate(row[1:], start=1):
            stress = ' class="strong"' if number == strong else ""
            label = f' data-label="{escape(columns[number])}"' if number < len(row) - 1 else ""
            cells.append(f"<td{stress}{label}>{escape(_glued(cell))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table class="{css}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _glued(text: str) -> str:
    """Keep a number and its unit on one line."""
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text)


def plot(shown: Plot) -> str:
    """Write a plot's place, right behind it its figure for the page's script, its legend and the conditions of what it shows."""
    # Inside a script element only "<" could end the document that it holds.
    figure = shown.figure.replace("<", "\\u003c")
    return (
        f'<div class="plot" data-name="{shown.name}"></div>'
        f'<script type="application/json">{figure}</script>'
        f"{keys(shown.keys)}{conditions(shown.conditions)}"
    )


def keys(entries: Iterable[Key]) -> str:
    """Write a legend."""
    items = (
        f'<li><svg viewBox="0 0 18 14" aria-hidden="true">{_FORMS[k.form].format(c=k.colour)}</svg>{escape(k.text)}</li>' for k in entries
    )
    return f'<ul class="keys">{"".join(items)}</ul>'


def conditions(texts: Iterable[str]) -> str:
    """Write under what conditions figures were taken."""
    items = "".join(f"<li>{escape(sentence(text))}</li>" for text in texts)
    return f'<ul class="conditions">{items}</ul>' if items else ""


def card(name: str, value: str, detail: str) -> str:
    """Write one figure in large letters, with what it is and what it comes from."""
    parts = (("name", name), ("value", value), ("detail", detail))
    lines = (f'<div class="{css}">{escape(text)}</div>' for css, text in parts)
    return f'<div class="card">{"".join(lines)}</div>'


def definitions(facts: Mapping[str, str]) -> str:
    """Write names and values."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts.items())}</dl>"


def section(title: str, note: str, *parts: str) -> str:
    """Write a section: its title, what a reader should know, and its parts (HTML)."""
    return f'<section><h2>{escape(title)}</h2><p class="note">{escape(note)}</p>{"".join(parts)}</section>'


def sentence(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]
