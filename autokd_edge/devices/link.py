"""A way to this machine: argument vectors, time limits, and nothing left running after a failure."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from autokd_edge.errors import MeasureError
from autokd_edge.ports import Finished


class LocalLink:
    """Runs programs on the machine that this process runs on; files stay where they are."""

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout_s: float) -> Finished:
        """Run a program in a process group of its own; the group dies with a failure, Ctrl-C included.

        Raises:
            MeasureError: the program cannot be started (not retryable) or did not end in time (retryable).
        """
        try:
            # A session of its own makes one group of the program and all that it starts.
            process = subprocess.Popen(
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise MeasureError(f"'{argv[0]}' could not be started: {error.strerror}") from error
        with process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                _end_group(process)
                said = last_line(error.stderr or b"") or "nothing"
                raise MeasureError(
                    f"'{Path(argv[0]).name}' must end within {timeout_s:g} s; it was ended, its last line: {said}", retryable=True
                ) from None
            except BaseException:
                _end_group(process)
                raise
        return Finished(status=process.returncode, stdout=stdout, stderr=stderr)

    def push(self, path: Path) -> str:
        """Return the absolute path: the file is already here.

        Raises:
            MeasureError: there is no such file.
        """
        if not path.exists():
            raise MeasureError(f"a file to push must exist; got '{path}'")
        return str(path.resolve())

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


def last_line(stream: bytes) -> str:
    """Return the last line with something on it: where vendors put the reason."""
    lines = [line.strip() for line in stream.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            # What was left unwritten in the pipe of a dead program is no error of ours.
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    process.wait()
