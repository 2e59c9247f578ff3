"""`autokd-edge search`: the main job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from autokd_edge.cli.interrupt import interruptible
from autokd_edge.cli.options import (
    NOTHING_FITS,
    Devices,
    Json,
    LockClocks,
    MaxLatency,
    MaxMemory,
    Predictions,
    QatSteps,
    Store,
    Targets,
    Tune,
)

if TYPE_CHECKING:
    from autokd_edge.api.search import Finish
    from autokd_edge.core.events import Action
    from autokd_edge.core.study import Study


def search(  # noqa: PLR0913, PLR0917  one parameter for each option, as Typer wants it
    data: Annotated[
        str,
        typer.Option(help="digits, fashion-mnist[:FOLDER], imagefolder:PATH, hf:NAME[:CONFIG], cifar10:PATH, cifar100:PATH or npz:FILE."),
    ],
    teacher: Annotated[
        str,
        typer.Option(
            help="example:NAME, FILE.safetensors, FILE.onnx, FILE.pt2, FILE.py:function, timm:NAME, torchvision:NAME, hf:NAME or none."
        ),
    ],
    target: Targets = None,
    device: Devices = None,
    predict: Predictions = None,
    lock_clocks: LockClocks = False,
    max_latency: MaxLatency = None,
    max_memory: MaxMemory = None,
    max_instructions: Annotated[
        list[str] | None, typer.Option(help="5M, or 0.5x of the teacher's; counted on an emulated board, in place of a latency.")
    ] = None,
    max_drop: Annotated[list[str] | None, typer.Option(help="Points of accuracy below the teacher, on the validation set.")] = None,
    max_quant_drop: Annotated[
        list[str] | None, typer.Option(help="Points of accuracy that INT8 may lose (0.5); noisy layers stay in float until it holds.")
    ] = None,
    budget: Annotated[str, typer.Option(help="A time (8min, 2h) or a number of students to teach (20).")] = "30min",
    seed: Annotated[int, typer.Option(help="Same seed, same choices.")] = 0,
    study: Annotated[str | None, typer.Option(help="Name; the same name goes on with the same study.")] = None,
    store: Store = None,
    out: Annotated[str | None, typer.Option(help="Folder of the run. Default: runs/STUDY.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels of a side; images are cut to a square and resized. Default: as they are.")
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, or some of crop,flip,cutout,erase,mixup. Default: what suits the data set.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="kd, dkd, dist, at, sp, crd; ce or ls without a teacher. Default: kd, or ls without a teacher.")
    ] = None,
    family: Annotated[str, typer.Option(help="Family of students: nago, mbconv, or a hand-designed one; several as nago,mbconv.")] = "nago",
    policy: Annotated[
        str,
        typer.Option(help="edge-bo; or a baseline: random, random-ungated, evolution, bohb-paper, optuna-tpe, optuna-gp, ax."),
    ] = "edge-bo",
    search_steps: Annotated[
        int | None,
        typer.Option(help="Batches of 128 images for a student of the search. Default: 200, fewer in a budget below 13 min."),
    ] = None,
    rungs: Annotated[int, typer.Option(help="Judge students on so many rungs: the lowest has steps / eta^(rungs - 1).")] = 1,
    eta: Annotated[int, typer.Option(help="Times as many steps on the next rung, where one of so many goes: 2 to 4.")] = 3,
    final_steps: Annotated[int | None, typer.Option(help="Batches of the last teaching. Default: what the time leaves.")] = None,
    final_epochs: Annotated[float | None, typer.Option(help="The same in passes over the training images.")] = None,
    final_members: Annotated[int, typer.Option(help="Members of the best family that are taught in full, time permitting.")] = 8,
    qat_steps: QatSteps = 0,
    start: Annotated[
        list[str] | None, typer.Option(help="A guess of yours, taught first: tau=4,alpha=0.9 or N_m=1,N_b=5; may be given again.")
    ] = None,
    warm_from: Annotated[
        str | None, typer.Option(help="Folder of an earlier run, of another target, teacher or data set, whose lessons are recalled.")
    ] = None,
    pareto: Annotated[
        str | None,
        typer.Option(help="A front of students in place of the best one: accuracy against latency, or against latency,memory."),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Students that are taught at the same time, each on its share of the cores, while the device is asked.")
    ] = 1,
    tune: Tune = None,
    as_json: Json = False,
) -> None:
    """Search, teach, quantise, measure and ship a student; the same command goes on where it was stopped."""
    from autokd_edge.api.options import SearchOptions
    from autokd_edge.core.limits import MAX_QUANT_DROP

    options = SearchOptions(
        data=data,
        teacher=teacher,
        target=target or "host",
        device=device,
        predict=predict,
        lock_clocks=lock_clocks,
        max_latency=max_latency,
        max_memory=max_memory,
        max_instructions=max_instructions,
        max_drop=max_drop,
        max_quant_drop=max_quant_drop or f"{MAX_QUANT_DROP:g}",
        budget=budget,
        seed=seed,
        study=study,
        store=store,
        out=out,
        image_size=image_size,
        augment=augment,
        loss=loss,
        family=family,
        policy=policy,
        search_steps=search_steps,
        rungs=rungs,
        eta=eta,
        final_steps=final_steps,
        final_epochs=final_epochs,
        final_members=final_members,
        qat_steps=qat_steps,
        start=tuple(start or ()),
        warm_from=warm_from,
        pareto=pareto,
        workers=workers,
        tune=tune,
    )
    options.check()  # before torch is imported, which takes seconds
    from autokd_edge.api.search import SearchJob
    from autokd_edge.report.progress import Progress

    job = SearchJob.of(options)
    with interruptible() as check, Progress(Console(stderr=True), job.name) as progress:

        def watch(study: Study, action: Action | None) -> None:
            check()
            progress.watch(study, action)

        finish = job.run(watch)
    _tell(finish, as_json=as_json)
    if any(not end.delivered for end in finish.ends):
        raise typer.Exit(NOTHING_FITS)


def _tell(finish: Finish, *, as_json: bool) -> None:
    from autokd_edge.bundle.unbuilt import SCRIPT
    from autokd_edge.report.table import report_tables

    folder = finish.folder
    if as_json:
        sys.stdout.write(folder.summary.read_text())
        return
    console = Console()
    console.print(report_tables(finish.outcomes))
    several = len(finish.ends) > 1
    for end in finish.ends:
        whose = f" for {end.outcome.study.goal.target}" if several else ""
        for one in end.delivered:
            predicted = one.manifest is not None and one.manifest.card.predicted
            then = f"build and measure it: sh {one.bundle / SCRIPT}" if predicted else f"try: autokd-edge run {one.bundle}"
            console.print(f"bundle{whose}: {one.bundle}   ({then})", soft_wrap=True)
        if not end.delivered:
            why = (end.outcome.closest or "nothing was measured") if several else finish.stop.reason
            console.print(f"no bundle{whose}: {why}", soft_wrap=True)
    if several:
        console.print(f"the search ended: {finish.stop.reason}", soft_wrap=True)
    console.print(f"report: {folder.report}", soft_wrap=True)
