"""`autokd-edge compile`: a network of the user's own for a target."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autokd_edge.cli.options import Json, QatSteps, Tune
from autokd_edge.core.codec import encode

if TYPE_CHECKING:
    from autokd_edge.api.compiling import CompileEnd


def compile(  # noqa: A001, PLR0913, PLR0917  the command's name; one parameter for each option, as Typer wants it
    model: Annotated[str, typer.Argument(help="MODEL.onnx, or MODEL.pt2 as torch.export writes it: one image in, logits out.")],
    out: Annotated[str, typer.Option(help="Folder of the bundle.")],
    target: Annotated[str, typer.Option(help="Target, see `autokd-edge targets`, or your own descriptor .toml.")] = "host",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, bf16 or int8; auto measures all that the target allows.")] = "auto",
    data: Annotated[str | None, typer.Option(help="Data set to calibrate and grade with: digits, fashion-mnist, ...")] = None,
    max_drop: Annotated[str | None, typer.Option(help="Points of accuracy that an engine may lose against fp32. Default: 0.5.")] = None,
    device: Annotated[str | None, typer.Option(help="ssh://user@host:port of the device. Default: this machine.")] = None,
    mean: Annotated[str | None, typer.Option(help="Mean of each channel, of pixel / 255. Default: the data set's, or 0.")] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviation of each channel. Default: the data set's, or 1.")] = None,
    form: Annotated[str, typer.Option(help="standalone, or runtime: a tvm engine loads in TVM's runtime too.")] = "standalone",
    qat_steps: QatSteps = 0,
    teacher: Annotated[
        str | None, typer.Option(help="Whose answers tuning learns from, as in `search`; none for labels. Default: the model in float.")
    ] = None,
    tune: Tune = None,
    as_json: Json = False,
) -> None:
    """Build, quantise, measure and bundle a network that did not come from a search."""
    from autokd_edge.api.compile_options import CompileOptions

    options = CompileOptions(
        model=model,
        out=out,
        target=target,
        precision=precision,
        data=data,
        max_drop=max_drop,
        device=device,
        mean=mean,
        std=std,
        form=form,
        qat_steps=qat_steps,
        teacher=teacher,
        tune=tune,
    )
    options.check()  # before anything heavy is imported
    from autokd_edge.api.compiling import CompileJob

    job = CompileJob.of(options)
    console = Console(stderr=True)
    end = job.run(lambda variant: console.print(f"compiling as {variant}", highlight=False, soft_wrap=True))
    _tell(end, as_json=as_json)


def _tell(end: CompileEnd, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(_summary(end), indent=1) + "\n")
        return
    from autokd_edge.pipeline.compile import Unusable
    from autokd_edge.report import wording
    from autokd_edge.report.quantized import accuracy_told, layers_in_float, named

    readings = [one.measurement for one in end.found if not isinstance(one, Unusable)]
    title = f"Engines of '{end.manifest.card.study}' for {end.manifest.card.target.name} ({wording.origins(readings)})"
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in ("Engine", "Accuracy, validation", "Latency, median", "Peak memory", "Layers in float", ""):
        table.add_column(column, overflow="fold")
    for one in end.found:
        if isinstance(one, Unusable):
            table.add_row(Text(str(one.variant)), Text(f"failed: {one.error}"))
            continue
        reading, kept = one.measurement, one.quantized
        table.add_row(
            Text(str(one.variant)),
            Text("not graded" if one.accuracy is None else wording.percent(one.accuracy)),
            Text(wording.latency(reading.median_ns)),
            Text(wording.size(reading.memory.engine_bytes)),
            Text("" if kept is None else f"{len(kept.report.in_float)} of {len(kept.report.layers)}"),
            Text("in the bundle" if one == end.shipped else ""),
        )
    console = Console()
    console.print(table)
    for said in wording.all_conditions(readings):
        console.print(said, soft_wrap=True, highlight=False)
    for one in end.found:
        if not isinstance(one, Unusable) and one.quantized is not None and one.accuracy is not None:
            told = (layers_in_float(one.quantized), *accuracy_told(one.quantized, one.accuracy))
            console.print(f"{named(one.variant, one.quantized)}: {'; '.join(told)}", soft_wrap=True, highlight=False, markup=False)
        if not isinstance(one, Unusable) and one.tuning is not None:
            console.print(f"{one.variant}: {wording.tuned(one.tuning)}", soft_wrap=True, highlight=False)
    flags = dict.fromkeys(flag for reading in readings for flag in reading.flags)
    if flags:
        console.print(f"flags: {', '.join(flags)}", soft_wrap=True, highlight=False)
    console.print(f"bundle: {end.bundle}   (try: autokd-edge run {end.bundle})", soft_wrap=True)


def _summary(end: CompileEnd) -> dict[str, Any]:
    """Write what came of each variant; units in names."""
    from autokd_edge.pipeline.compile import Unusable
    from autokd_edge.report.summary import reading_summary

    engines = [
        {"variant": str(one.variant), "failed": str(one.error)}
        if isinstance(one, Unusable)
        else {
            "variant": str(one.variant),
            "accuracy_validation_percent": one.accuracy,
            "reading": reading_summary(one.measurement),
            "quantized": None if one.quantized is None else encode(one.quantized),
            "tuning": None if one.tuning is None else encode(one.tuning),
            "shipped": one == end.shipped,
        }
        for one in end.found
    ]
    return {"bundle": str(end.bundle), "engine_sha256": end.manifest.engine.sha256, "engines": engines}
