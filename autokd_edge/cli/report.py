"""`autokd-edge report`: what a study came to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autokd_edge.cli.options import Json, Store


def report(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run, or the file of a profile. Default: the latest below runs/.")] = None,
    study: Annotated[str | None, typer.Option(help="Name, where the journal holds several studies.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Tell what a study or a profile came to, and write a study's page again."""
    if run is not None and run.is_file():
        _tell_profile(run, as_json=as_json)
        return
    from autokd_edge.api.reports import latest_run, outcomes_of
    from autokd_edge.report.page import write_page
    from autokd_edge.report.summary import summarise
    from autokd_edge.report.table import report_tables

    outcomes, folder = outcomes_of(run or latest_run(Path("runs")), store=store, study=study)
    write_page(folder.report, outcomes)
    if as_json:
        sys.stdout.write(json.dumps(summarise(outcomes), indent=1) + "\n")
        return
    console = Console()
    console.print(report_tables(outcomes))
    console.print(f"report: {folder.report}", soft_wrap=True)


def _tell_profile(path: Path, *, as_json: bool) -> None:
    from autokd_edge.api.profiling import read_profile
    from autokd_edge.report.profile import profile_tables, summarise_profile

    read = read_profile(path)
    if as_json:
        sys.stdout.write(json.dumps(summarise_profile(read), indent=1) + "\n")
    else:
        Console().print(profile_tables(read))
