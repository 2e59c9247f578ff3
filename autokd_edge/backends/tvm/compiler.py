"""One process that has TVM loaded and compiles graphs for its owner: loading it costs more than compiling a student."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import IO

from autokd_edge.core.codec import Json
from autokd_edge.errors import BuildError

_PROGRAM = (sys.executable, "-P", "-m", "autokd_edge.backends.tvm.compile_program")
_NOT_THERE = "ModuleNotFoundError"


class Compiler:
    """Starts with the first question and ends with its owner; after a crash or an overrun the next question starts another."""

    def __init__(self, *, install: str, program: Sequence[str] = _PROGRAM) -> None:
        self._install = install
        self._program = tuple(program)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = io.BytesIO()
        self._end: Callable[[], object] = _nothing

    def ask(self, request: Json, *, timeout_s: float) -> Json:
        """Compile by one request; raises BuildError, retryable where the time was over."""
        with self._lock:
            process = self._started()
            try:
                answer = _exchange(process, json.dumps(request).encode() + b"\n", timeout_s)
            except BaseException:
                self._end()  # what is left of the answer must not be taken for the next one
                raise
            if answer is None:
                raise self._gone(process)
        status, said = answer["status"], answer["said"] or "nothing on stderr"
        if status < 0:
            raise BuildError(f"the compiler crashed with {signal.Signals(-status).name}; its last line: {said}")
        if status > 0:
            raise BuildError(said)
        return answer["answer"]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
            self._process = subprocess.Popen(
                self._program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
            )
            self._end = weakref.finalize(self, _end_group, self._process, self._errors)
        return self._process

    def _gone(self, process: subprocess.Popen[bytes]) -> BuildError:
        """Say why the process ended without an answer."""
        process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"the compiler ended with status {process.returncode}"
        self._end()
        return BuildError(said, hint=self._install if said.startswith(_NOT_THERE) else "")


def _nothing() -> None:
    """End what was not started."""


def _exchange(process: subprocess.Popen[bytes], line: bytes, timeout_s: float) -> Json:
    """Send one line and wait for one; None where the process has ended."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the compiler must be started with pipes")
    end, said = time.monotonic() + timeout_s, b""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(line)
        process.stdin.flush()
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise BuildError(f"a graph must be compiled within {timeout_s:g} s; it was not", retryable=True)
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            return None
        said += chunk
    return json.loads(said)


def _end_group(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, errors):
        if stream is not None:
            # What was left unwritten in the pipe of a dead process is no error of ours.
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    process.wait()
