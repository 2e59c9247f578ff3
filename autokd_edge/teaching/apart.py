"""Distilling in processes apart: as many pupils at the same time as there are workers.

A process of its own for each, since torch draws from one random generator for all threads. A worker that dies is
started anew and goes on from what was saved; one that dies again and again is a failure of its pupil.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from autokd_edge.core.codec import decode, encode
from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.student import StudentSpec
from autokd_edge.errors import TeachError
from autokd_edge.ports import TaughtNetwork
from autokd_edge.teaching.classroom import Answer, Classroom, Exercise, taught_of
from autokd_edge.teaching.trainer import loss_space

MOST_DEATHS = 3  # of workers over one pupil
_SAID = 200  # characters of a dead worker's last words


class WorkersDistiller:
    """A ``ports.Distiller`` that may be called from as many threads as it has workers; a context that ends them."""

    def __init__(self, classroom: Classroom, *, workers: int, threads: int, logs: Path) -> None:
        """Prepare ``workers`` processes of so many threads each; they start when they are needed, and say why they died in ``logs``."""
        self._classroom = classroom
        self._all = [_Worker(classroom, threads=threads, log=logs / f"worker-{number}.log") for number in range(1, workers + 1)]
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._free.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._all:
            worker.end()

    @property
    def space(self) -> SearchSpace:
        """The parameters of the loss."""
        return loss_space(self._classroom.loss)

    def teach(self, spec: StudentSpec, distillation: Point, *, steps: int, seed: int, out: Path, until: int | None = None) -> TaughtNetwork:
        """Teach in a worker; see ``ports.Distiller``.

        Raises:
            TeachError: the lesson failed, or one worker after another died over it.
        """
        exercise = Exercise(spec=spec, distillation=distillation, steps=steps, seed=seed, out=str(out.absolute()), until=until)
        worker = self._free.get()
        try:
            for _ in range(MOST_DEATHS):
                answer = worker.ask(exercise)
                if answer is not None:
                    return taught_of(answer)
            raise TeachError(
                f"a worker must live until its pupil is taught; {MOST_DEATHS} died over it, {worker.last_words()}", retryable=True
            )
        finally:
            self._free.put(worker)


class _Worker:
    """One process, started when it is asked and again after it died."""

    def __init__(self, classroom: Classroom, *, threads: int, log: Path) -> None:
        self._classroom = classroom
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._is_over = False
        self._starting = threading.Lock()  # who is ended while it starts would be nobody's to end

    def ask(self, exercise: Exercise) -> Answer | None:
        """Return the answer; None where the process died over it."""
        process = self._running()
        try:
            _write(process, exercise)
            line = process.stdout.readline() if process.stdout is not None else ""
        except (BrokenPipeError, ValueError):  # it died, or was ended while it was asked
            line = ""
        if not line.endswith("\n"):
            _put_down(process)
            return None
        return decode(Answer, json.loads(line))

    def end(self) -> None:
        """End the process; it is not started again."""
        with self._starting:
            self._is_over = True
        if self._process is not None:
            _put_down(self._process)

    def last_words(self) -> str:
        """Say how the last process ended and what it said last."""
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        status = None if self._process is None else self._process.returncode
        how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
        return f"the last with {how}{f': {lines[-1][:_SAID]}' if lines else ''}"

    def _running(self) -> subprocess.Popen[str]:
        with self._starting:
            if self._is_over:
                raise TeachError("the workers were ended", retryable=True)
            if self._process is not None and self._process.poll() is None:
                return self._process
            self._process = self._started()
            process = self._process
        with contextlib.suppress(BrokenPipeError, ValueError):  # it died at once, or was ended meanwhile
            _write(process, self._classroom)
        return process

    def _started(self) -> subprocess.Popen[str]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "autokd_edge.teaching.worker"]
        with self._log.open("w") as log:
            # A session of its own: Ctrl-C at a terminal is for the search, which then ends its workers.
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
                start_new_session=True,
            )


def _put_down(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # what it did not read any more
                stream.close()


def _write(process: subprocess.Popen[str], asked: Classroom | Exercise) -> None:
    assert process.stdin is not None, "opened as a pipe"  # noqa: S101  a law of subprocess, for the type checker
    process.stdin.write(json.dumps(encode(asked)) + "\n")
    process.stdin.flush()
