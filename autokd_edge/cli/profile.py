"""`autokd-edge profile`: build and measure any ONNX network in every variant of a target."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autokd_edge.cli.options import FAILED, Json, LockClocks, Predict, Tune


def profile(  # noqa: PLR0913, PLR0917  one parameter for each option, as Typer wants it
    model: Annotated[Path, typer.Argument(help="An .onnx or .pt2 file, a bundle, or the folder of a run that shipped one.")],
    target: Annotated[str, typer.Option(help="Target, see `autokd-edge targets`, or your own descriptor .toml.")] = "host",
    device: Annotated[str | None, typer.Option(help="What measures: ssh://user@host[:port]. Default: this machine.")] = None,
    predict: Predict = None,
    lock_clocks: LockClocks = False,
    protocol: Annotated[str, typer.Option(help="Measuring protocol: screen, final, or sustained (10 min a variant).")] = "final",
    data: Annotated[
        str | None, typer.Option(help="Calibration images for int8: a data set, or FILE.npy, float32 (n, c, h, w), preprocessed.")
    ] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Time each layer too, in a run of its own.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the profile with its raw samples; `autokd-edge report FILE` reads it.")] = None,
    tune: Tune = None,
    as_json: Json = False,
) -> None:
    """Build and measure any ONNX network in every variant that the target allows."""
    from autokd_edge.api.profiling import ProfileOptions
    from autokd_edge.api.profiling import profile as measured
    from autokd_edge.report.profile import profile_tables, summarise_profile

    options = ProfileOptions(
        model=model,
        target=target,
        device=device,
        predict=predict,
        lock_clocks=lock_clocks,
        protocol=protocol,
        data=data,
        per_layer=per_layer,
        out=out,
        tune=tune,
    )
    with Console(stderr=True).status("") as status:
        made = measured(options, watch=lambda variant: status.update(f"building and measuring {variant}"))
    if as_json:
        sys.stdout.write(json.dumps(summarise_profile(made), indent=1) + "\n")
    else:
        console = Console()
        console.print(profile_tables(made))
        if out is not None:
            console.print(f"profile: {out}", soft_wrap=True)
    if not made.measured:
        raise typer.Exit(FAILED)
