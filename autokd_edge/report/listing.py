"""Facts as a two-column table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from autokd_edge.core.codec import Json


def listing(facts: Mapping[str, Json]) -> Table:
    """Lay out names and values; tables and lists are written on one line each."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(_said(value)))
    return table


def _said(value: Json) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_said(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join("/".join(map(str, item.values())) if isinstance(item, dict) else str(item) for item in value) or "-"
    return str(value)
