"""The command line, run in this process or in one of its own, and what a folder holds before and after."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.plugin import TESTS

from autokd_edge import cli


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """Last line of stderr."""
        return self.err.splitlines()[-1] if self.err else ""


def run_here(*argv: object, folder: Path, path: Path | None = None) -> Done:
    """Run ``autokd-edge`` in this process, in a folder, with a folder of packages on the path."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["autokd-edge", *map(str, argv)])
        patch.setenv("COLUMNS", "200")
        if path is not None:
            patch.syspath_prepend(path)
        with pytest.raises(SystemExit) as end:
            cli.main()
    return Done(status=int(end.value.code or 0), out=out.getvalue(), err=err.getvalue())


def start(*argv: object, folder: Path, path: Path | None = None) -> subprocess.Popen[str]:
    """Start the console script in a process of its own."""
    script = Path(sys.executable).with_name("autokd-edge")
    places = os.pathsep.join(map(str, [TESTS, TESTS.parent, *([] if path is None else [path])]))  # the package beside these tests
    env = {**os.environ, "PYTHONPATH": places, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}  # more threads sum in another order
    command = [str(script), *map(str, argv)]
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_apart(*argv: object, folder: Path, path: Path | None = None) -> Done:
    """Run the console script to its end."""
    with start(*argv, folder=folder, path=path) as process:
        out, err = process.communicate()
    return Done(status=process.returncode, out=out, err=err)


def held_by(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder; an empty folder counts as well."""
    return {str(p.relative_to(folder)): b"" if p.is_dir() else p.read_bytes() for p in sorted(folder.rglob("*"))}
