"""The commands, in the order in which help lists them, and the one way each of them ends."""

from __future__ import annotations

import errno
import logging
import os
import sys
from importlib import metadata
from typing import Annotated, Any

import typer

from autokd_edge.cli.check import check
from autokd_edge.cli.compile import compile as compile_
from autokd_edge.cli.doctor import doctor
from autokd_edge.cli.options import FAILED, INTERRUPTED, WRONG_INPUT
from autokd_edge.cli.profile import profile
from autokd_edge.cli.report import report
from autokd_edge.cli.run import run
from autokd_edge.cli.search import search
from autokd_edge.cli.targets import targets
from autokd_edge.errors import AutoKDError, InputError

COMMANDS = (search, check, compile_, profile, targets, report, run, doctor)
# Click's, or that of the copy of Click inside newer Typers, which has no public name.
_UsageError: Any = typer.BadParameter.__bases__[0]
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def main() -> None:
    """Run the command line; every expected end is an exit status and one line."""
    # Threads that spin while they wait make torch 20 times slower where anything else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        status: Any = _application()(standalone_mode=False)
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


def _application() -> typer.Typer:
    application = typer.Typer(
        name="autokd-edge",
        help="Find the best small student of a trained teacher for the device it will run on.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    application.callback()(_common)
    for command in COMMANDS:
        application.command()(command)
    return application


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"autokd-edge {metadata.version('autokd-edge')}\n")
        raise typer.Exit


def _common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)] = False,
) -> None: ...  # what help says is the application's own


def _end(message: str, status: int, *, hint: str = "") -> None:
    line = " ".join(message.split()) + (f". Hint: {hint}" if hint else "")
    sys.stderr.write(f"autokd-edge: {line}\n")
    sys.exit(status)
