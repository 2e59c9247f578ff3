"""`autokd-edge doctor`: can a search run there, and what mends it if not."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autokd_edge.cli.options import FAILED, Examined, Json, LockClocks

if TYPE_CHECKING:
    from autokd_edge.api.doctor import Examination

_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


def doctor(
    target: Annotated[str, typer.Option(help="Target, see `autokd-edge targets`, or your own descriptor .toml.")] = "host",
    device: Examined = None,
    install: Annotated[bool, typer.Option("--install", help="Put the target's runtimes into a virtual environment on the device.")] = False,
    lock_clocks: LockClocks = False,
    clean: Annotated[bool, typer.Option("--clean", help="Remove first what is ours on the device.")] = False,
    as_json: Json = False,
) -> None:
    """Examine each device: what its descriptor says, what it says itself, what is missing and the command that mends it."""
    from autokd_edge.api.doctor import examine_devices

    examinations = examine_devices(target, device or (), install=install, lock_clocks=lock_clocks, clean=clean)
    documents = []
    for seen in examinations:
        documents.append(_document(seen))
        if not as_json:
            _print(seen)
    if as_json:
        sys.stdout.write(json.dumps(documents[0] if len(documents) == 1 else documents, indent=1, ensure_ascii=False) + "\n")
    if not all(document["fit"] for document in documents):
        raise typer.Exit(FAILED)


def _document(seen: Examination) -> dict[str, object]:
    names = ("what", "descriptor", "device", "weight", "mend")
    findings = [{name: getattr(finding, name) for name in names} for finding in seen.findings]
    return {"target": seen.target, "device": seen.device, "fit": seen.fit, "done": list(seen.done), "findings": findings}


def _print(seen: Examination) -> None:
    console = Console()
    for line in seen.done:
        console.print(line, soft_wrap=True, markup=False)
    place = "this machine" if seen.device is None else seen.device
    table = Table(title=Text(f"target '{seen.target}' on {place}"), title_justify="left", header_style="bold")
    for column in ("What", "The descriptor", "The device", ""):
        table.add_column(column, overflow="fold")
    for finding in seen.findings:
        mark = Text(finding.weight, style=_STYLES[finding.weight])
        table.add_row(Text(finding.what), Text(finding.descriptor, style="dim"), Text(finding.device), mark)
    console.print(table)
    mends = [finding for finding in seen.findings if finding.mend]
    if mends:
        console.print("What mends it:")
    for finding in mends:  # below the table and unbroken: commands are there to be copied
        console.print(f"  {finding.what}: {finding.mend}", soft_wrap=True, markup=False, highlight=False)
    console.print("a search can run there" if seen.fit else "a search cannot run there", soft_wrap=True)
