"""`autokd-edge check`: can the limits be kept at all?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from autokd_edge.cli.options import NOTHING_FITS, Devices, Json, LockClocks, MaxLatency, MaxMemory, Predictions, Targets, print_document


def check(  # noqa: PLR0913, PLR0917  one parameter for each option, as Typer wants it
    data: Annotated[str, typer.Option(help="Data set: digits, fashion-mnist or fashion-mnist:FOLDER.")],
    teacher: Annotated[str, typer.Option(help="Teacher: example:NAME or FILE.safetensors.")],
    target: Targets = None,
    device: Devices = None,
    predict: Predictions = None,
    lock_clocks: LockClocks = False,
    max_latency: MaxLatency = None,
    max_memory: MaxMemory = None,
    family: Annotated[str, typer.Option(help="Family of students, or several: A,B.")] = "nago",
    probes: Annotated[int, typer.Option(help="Random candidates to build and measure.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same candidates.")] = 0,
    as_json: Json = False,
) -> None:
    """Probe random untrained candidates, teach none, and say which share of them keeps the limits."""
    from autokd_edge.api.options import SearchOptions

    options = SearchOptions(
        data=data,
        teacher=teacher,
        target=target or "host",
        device=device,
        predict=predict,
        lock_clocks=lock_clocks,
        max_latency=max_latency,
        max_memory=max_memory,
        family=family,
        seed=seed,
    )
    options.check()  # before torch is imported, which takes seconds
    from autokd_edge.api.checking import document_of, fits_at_all, probed_study
    from autokd_edge.report.progress import Progress

    with Progress(Console(stderr=True), "check") as progress:
        study = probed_study(options, probes, progress.watch)
    print_document(document_of(study), as_json=as_json)
    if not fits_at_all(study):
        raise typer.Exit(NOTHING_FITS)
