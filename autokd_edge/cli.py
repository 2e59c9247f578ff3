"""The command line: the only reader of arguments and environment.

Exit status: 0 done, 1 a failure that is nobody's input (a device that does not answer), 2 wrong
input, 3 nothing keeps the limits, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from autokd_edge.errors import AutoKDError, InputError

if TYPE_CHECKING:
    from autokd_edge.api.search import Finish

FAILED, WRONG_INPUT, NOTHING_FITS, INTERRUPTED = 1, 2, 3, 130
# Click's, or that of the copy of Click inside newer Typers, which has no public name.
_UsageError: Any = typer.BadParameter.__bases__[0]
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

app = typer.Typer(
    name="autokd-edge",
    help="Find the best small student of a trained teacher for the device it will run on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Store = Annotated[str | None, typer.Option(help="URL of the journal, e.g. postgresql://user@host/database. Default: SQLite in --out.")]


@app.command()
def search(  # noqa: PLR0913, PLR0917  one parameter for each option, as Typer wants it
    data: Annotated[str, typer.Option(help="Data set: digits, fashion-mnist or fashion-mnist:FOLDER.")],
    teacher: Annotated[str, typer.Option(help="Teacher: example:NAME or FILE.safetensors.")],
    target: Annotated[str, typer.Option(help="Target, see `autokd-edge targets`, or your own descriptor .toml.")] = "host",
    max_latency: Annotated[str | None, typer.Option(help="3ms, p99:3ms, or 0.25x of the teacher's.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="20MB, or 0.5x of the teacher's; peak over the null engine.")] = None,
    max_drop: Annotated[str | None, typer.Option(help="Points of accuracy below the teacher, on the validation set.")] = None,
    budget: Annotated[str, typer.Option(help="A time (8min, 2h) or a number of students to teach (20).")] = "30min",
    seed: Annotated[int, typer.Option(help="Same seed, same choices.")] = 0,
    study: Annotated[str | None, typer.Option(help="Name; the same name goes on with the same study.")] = None,
    store: Store = None,
    out: Annotated[str | None, typer.Option(help="Folder of the run. Default: runs/STUDY.")] = None,
    family: Annotated[str, typer.Option(help="Family of students: nago.")] = "nago",
    policy: Annotated[str, typer.Option(help="Search strategy: edge-bo or random.")] = "edge-bo",
    search_steps: Annotated[int, typer.Option(help="Batches of 128 images that a student is taught during the search.")] = 200,
    final_steps: Annotated[int | None, typer.Option(help="Batches of the last teaching. Default: what the time leaves.")] = None,
    as_json: Json = False,
) -> None:
    """Search, teach, quantise, measure and ship a student; the same command goes on where it was stopped."""
    from autokd_edge.api.options import SearchOptions

    options = SearchOptions(
        data=data,
        teacher=teacher,
        target=target,
        max_latency=max_latency,
        max_memory=max_memory,
        max_drop=max_drop,
        budget=budget,
        seed=seed,
        study=study,
        store=store,
        out=out,
        family=family,
        policy=policy,
        search_steps=search_steps,
        final_steps=final_steps,
    )
    options.check()  # before torch is imported, which takes seconds
    from autokd_edge.api.search import SearchJob
    from autokd_edge.report.progress import Progress

    job = SearchJob.of(options)
    with Progress(Console(stderr=True), job.name) as progress:
        finish = job.run(progress.watch)
    _tell(finish, as_json=as_json)
    if finish.manifest is None:
        raise typer.Exit(NOTHING_FITS)


@app.command()
def targets(
    name: Annotated[str | None, typer.Argument(help="Show one descriptor.")] = None,
    as_json: Json = False,
) -> None:
    """List the targets, or show what is known of one and where it is from."""
    from autokd_edge.api.descriptors import described, listed

    _print(listed() if name is None else described(name), as_json=as_json)


@app.command()
def report(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run. Default: the latest below runs/.")] = None,
    study: Annotated[str | None, typer.Option(help="Name, where the journal holds several studies.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Tell what a study came to, and write its page again."""
    from autokd_edge.api.reports import latest_run, outcome_of
    from autokd_edge.report.page import write_page
    from autokd_edge.report.summary import summarise
    from autokd_edge.report.table import report_tables

    outcome, folder = outcome_of(run or latest_run(Path("runs")), store=store, study=study)
    write_page(folder.report, outcome)
    if as_json:
        sys.stdout.write(json.dumps(summarise(outcome), indent=1) + "\n")
        return
    console = Console()
    console.print(report_tables(outcome))
    console.print(f"report: {folder.report}", soft_wrap=True)


@app.command("run")
def run_(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    protocol: Annotated[str, typer.Option(help="Measuring protocol: screen or final.")] = "final",
    as_json: Json = False,
) -> None:
    """Check a bundle, run its self-test and time its engine on this machine."""
    from autokd_edge.api.bundles import run_bundle
    from autokd_edge.report.reading import reading_table
    from autokd_edge.report.summary import reading_summary

    done = run_bundle(bundle, protocol=protocol)
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


def main() -> None:
    """Run the command line; every expected end is an exit status and one line."""
    # Threads that spin while they wait make torch 20 times slower where anything else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        status: Any = app(standalone_mode=False)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(error.format_message() + "\n")
            sys.exit(WRONG_INPUT)
        _end(error.format_message().rstrip("."), WRONG_INPUT, hint=f"{error.ctx.command_path if error.ctx else 'autokd-edge'} --help")
    except InputError as error:
        _end(str(error), WRONG_INPUT)
    except AutoKDError as error:
        _end(str(error), FAILED)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        where = f" at '{error.filename}'" if error.filename else ""
        _end(f"the disk must have room for the run; it is full{where}", WRONG_INPUT, hint="free some space, or give another --out")
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED  # newer Typers give this status themselves
    if status == INTERRUPTED:
        _end("interrupted; the same command goes on from here", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _tell(finish: Finish, *, as_json: bool) -> None:
    from autokd_edge.report.table import report_tables

    folder = finish.folder
    if as_json:
        sys.stdout.write(folder.summary.read_text())
        return
    console = Console()
    console.print(report_tables(finish.outcome))
    if finish.manifest is None:
        console.print(f"no bundle: {finish.stop.reason}", soft_wrap=True)
    else:
        console.print(f"bundle: {folder.bundle}   (try: autokd-edge run {folder.bundle})", soft_wrap=True)
    console.print(f"report: {folder.report}", soft_wrap=True)


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    from autokd_edge.report.listing import listing

    Console().print(listing(document))


def _end(message: str, status: int, *, hint: str = "") -> None:
    line = " ".join(message.split()) + (f". Hint: {hint}" if hint else "")
    sys.stderr.write(f"autokd-edge: {line}\n")
    sys.exit(status)
