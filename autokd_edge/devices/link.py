"""A way to this machine: argument vectors, time limits, and nothing left running after a failure."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from autokd_edge.devices.process import OverrunError, last_line, run_process
from autokd_edge.errors import MeasureError, TimedOutError
from autokd_edge.ports import Finished


class LocalLink:
    """Runs programs on the machine that this process runs on; files stay where they are."""

    @property
    def device(self) -> None:
        """This machine has no address."""
        return

    @property
    def python(self) -> tuple[str, ...]:
        """This very Python; -P keeps a program's own folder off the path, whose files could shadow a vendor's modules."""
        return (sys.executable, "-P")

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout_s: float) -> Finished:
        """Run a program in a process group of its own; the group dies with a failure, Ctrl-C included.

        Raises:
            MeasureError: the program cannot be started (not retryable), did not end in time
                (TimedOutError, retryable), or said too much.
        """
        try:
            return run_process(argv, stdin=stdin, timeout_s=timeout_s)
        except OSError as error:
            raise MeasureError(f"'{argv[0]}' could not be started: {error.strerror}") from error
        except OverrunError as error:
            raise overrun(argv[0], error) from None

    def push(self, path: Path) -> str:
        """Return the absolute path: the file is already here.

        Raises:
            MeasureError: there is no such file.
        """
        if not path.exists():
            raise MeasureError(f"a file to push must exist; got '{path}'")
        return str(path.resolve())

    def place(self, out: Path) -> str:
        """Return the absolute path of ``out`` itself, an empty file now.

        Raises:
            MeasureError: it cannot be written.
        """
        try:
            out.touch()
        except OSError as error:
            raise MeasureError(f"'{out}' could not be written: {error.strerror}") from error
        return str(out.resolve())

    def pull(self, remote: str, out: Path) -> None:
        """Copy a file, or nothing where it is the same one.

        Raises:
            MeasureError: there is no such file, or it cannot be copied.
        """
        if Path(remote).resolve() == out.resolve() and out.exists():
            return
        try:
            shutil.copyfile(remote, out)
        except OSError as error:
            raise MeasureError(f"'{remote}' could not be fetched: {error.strerror}") from error


def overrun(program: str, error: OverrunError) -> MeasureError:
    """Say what a program that was ended had broken, and its last words."""
    said = last_line(error.stderr) or "nothing"
    message = f"'{Path(program).name}' {error.law}; it was ended, its last line: {said}"
    return MeasureError(message) if error.in_time else TimedOutError(message, retryable=True)
