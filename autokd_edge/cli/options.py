"""What commands have in common: option types, exit statuses, printing."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

FAILED, WRONG_INPUT, NOTHING_FITS, INTERRUPTED = 1, 2, 3, 130

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Device = Annotated[str | None, typer.Option(help="What measures: ssh://user@host[:port]. Default: this machine.")]
Devices = Annotated[
    list[str] | None,
    typer.Option("--device", help="What measures: ssh://user@host[:port]; again for each board of a pool. Default: this machine."),
]
Store = Annotated[str | None, typer.Option(help="URL of the journal, e.g. postgresql://user@host/database. Default: SQLite in --out.")]


def print_document(document: dict[str, Any], *, as_json: bool) -> None:
    """Print a document as JSON or as tables."""
    if as_json:
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    from autokd_edge.report.listing import listing

    Console().print(listing(document))
