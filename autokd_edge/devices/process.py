"""Run a program of this machine to its end, with a bound on its time and on what it says; nothing is left running."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import IO

from autokd_edge.ports import Finished

MOST_BYTES = 64 * 2**20  # a reading is 0.2 MB; a program that says more than this has gone mad
_CHUNK = 2**16


class OverrunError(Exception):
    """A program was ended, because it took too long or said too much; carries what it had said."""

    def __init__(self, law: str, stdout: bytes, stderr: bytes, *, in_time: bool) -> None:
        super().__init__(law)
        self.law = law
        self.stdout = stdout
        self.stderr = stderr
        self.in_time = in_time


def run_process(
    argv: Sequence[str], *, stdin: bytes | IO[bytes], timeout_s: float, stdout_to: Callable[[bytes], object] | None = None
) -> Finished:
    """Run a program in a process group of its own; the group dies with every failure, Ctrl-C included.

    ``stdin`` is bytes, or an open file that the program reads by itself. ``stdout_to`` takes stdout by
    pieces, of any total length, instead of it being kept.

    Raises:
        OSError: the program cannot be started.
        OverrunError: it did not end in time, or said more than ``MOST_BYTES`` on stdout or stderr.
    """
    given = subprocess.PIPE if isinstance(stdin, bytes) else stdin
    # A session of its own makes one group of the program and all that it starts.
    with subprocess.Popen(list(argv), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        talk = _Talk(process, stdin if isinstance(stdin, bytes) else b"", stdout_to)
        try:
            talk.until(time.monotonic() + timeout_s, f"must end within {timeout_s:g} s")
        except BaseException:
            _end_group(process)
            raise
        return Finished(status=process.wait(), stdout=bytes(talk.stdout), stderr=bytes(talk.stderr))


class _Talk:
    """The three streams of a program, moved without one waiting for another."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, stdout_to: Callable[[bytes], object] | None) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self._process = process
        self._stdin = memoryview(stdin)
        self._stdout_to = stdout_to or self.stdout.extend

    def until(self, deadline: float, law: str) -> None:
        """Move all there is, until the program ends; raises OverrunError."""
        out, err, into = self._process.stdout, self._process.stderr, self._process.stdin
        assert out is not None and err is not None, "opened as pipes"  # noqa: S101, PT018  a law of subprocess, for the type checker
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ, lambda: self._read(out, self._stdout_to))
            selector.register(err, selectors.EVENT_READ, lambda: self._read(err, self.stderr.extend))
            if into is not None:
                os.set_blocking(into.fileno(), False)
                selector.register(into, selectors.EVENT_WRITE, lambda: self._write(into))
            while selector.get_map():
                ready = selector.select(deadline - time.monotonic())
                if time.monotonic() >= deadline:
                    raise self._overrun(law, in_time=False)
                for key, _ in ready:
                    if not key.data():
                        selector.unregister(key.fileobj)
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._overrun(law, in_time=False) from None

    def _read(self, stream: IO[bytes], keep: Callable[[bytes], object]) -> bool:
        """Move a piece; says whether there may be more."""
        piece = os.read(stream.fileno(), _CHUNK)
        keep(piece)
        if max(len(self.stdout), len(self.stderr)) > MOST_BYTES:
            raise self._overrun(f"must say at most {MOST_BYTES >> 20} MiB", in_time=True)
        return bool(piece)

    def _write(self, stream: IO[bytes]) -> bool:
        """Move a piece; says whether there is more."""
        try:
            self._stdin = self._stdin[os.write(stream.fileno(), self._stdin[:_CHUNK]) :]
        except BrokenPipeError:
            self._stdin = memoryview(b"")  # a program that reads nothing of its request and ends well is its own business
        if self._stdin:
            return True
        with contextlib.suppress(BrokenPipeError):
            stream.close()
        return False

    def _overrun(self, law: str, *, in_time: bool) -> OverrunError:
        return OverrunError(law, bytes(self.stdout), bytes(self.stderr), in_time=in_time)


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
