"""`autokd-edge run`: check and time a bundle."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autokd_edge.cli.options import FAILED, Device, Json


def run(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    protocol: Annotated[str, typer.Option(help="Measuring protocol: screen or final.")] = "final",
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Check a bundle, run its self-test and time its engine on this machine or another."""
    from autokd_edge.api.bundles import run_bundle
    from autokd_edge.report.reading import reading_table
    from autokd_edge.report.summary import reading_summary

    done = run_bundle(bundle, protocol=protocol, device=device)
    if as_json:
        reading = None if done.measurement is None else reading_summary(done.measurement)
        document = {"selftest_passed": done.selftest.passed, "selftest": str(done.selftest), "reading": reading}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        console = Console()
        console.print(str(done.selftest), soft_wrap=True)
        if done.measurement is not None:
            console.print(reading_table(done.measurement, shipped=done.manifest.shipped))
    if not done.selftest.passed:
        raise typer.Exit(FAILED)
