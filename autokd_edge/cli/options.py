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
Targets = Annotated[
    list[str] | None,
    typer.Option(
        help="Target, see `autokd-edge targets`, or your own descriptor .toml; several share the teaching. Default: host.",
        show_default=False,
    ),
]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        help="What measures: ssh://user@host[:port], or TARGET=ssh://...; again for each board of a pool. Default: this machine.",
    ),
]
Examined = Annotated[
    list[str] | None,
    typer.Option("--device", help="What is examined: ssh://user@host[:port]; again for each board. Default: this machine."),
]
MaxLatency = Annotated[list[str] | None, typer.Option(help="3ms, p99:3ms, or 0.25x of the teacher's; of one target: TARGET=3ms.")]
MaxMemory = Annotated[list[str] | None, typer.Option(help="20MB, or 0.5x of the teacher's; peak over the null engine.")]
LockClocks = Annotated[
    bool, typer.Option("--lock-clocks", help="Hold the clocks of what measures still meanwhile, where permitted; they are put back.")
]
Predict = Annotated[
    str | None,
    typer.Option(help="Predict what a device would read: recorded (what ships for the target), or FILE of tools/record_readings.py."),
]
Predictions = Annotated[
    list[str] | None,
    typer.Option("--predict", help="Predict what a device would read: recorded (what ships), FILE, or of one target TARGET=FILE."),
]
QatSteps = Annotated[
    int, typer.Option(help="Batches by which an INT8 engine that loses too much is tuned, its rounding in the loop; 0: not at all.")
]
Tune = Annotated[
    int | None,
    typer.Option(metavar="N", help="Time up to N ways of computing each layer on the device; for tvm. Of a search, the winner's."),
]
Store = Annotated[str | None, typer.Option(help="URL of the journal, e.g. postgresql://user@host/database. Default: SQLite in --out.")]


def print_document(document: dict[str, Any], *, as_json: bool) -> None:
    """Print a document as JSON or as tables."""
    if as_json:
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    from autokd_edge.report.listing import listing

    Console().print(listing(document))
