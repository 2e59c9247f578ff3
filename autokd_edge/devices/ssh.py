"""A way to a device over the user's own SSH: argument vectors, time limits, checked files, bounded retries."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

from autokd_edge.core.digest import Digest, digest_of_file
from autokd_edge.devices import board_scripts
from autokd_edge.devices.connection import Session, SshConnection, disk_full, disk_full_failure
from autokd_edge.devices.link import overrun
from autokd_edge.devices.process import MOST_BYTES, OverrunError, last_line, run_process
from autokd_edge.errors import ConnectionLostError, MeasureError, RebootedError, RuntimeMissingError, UnreachableError
from autokd_edge.ports import Finished

# Pauses before the tries to open a lost connection again: a wireless network that drops is back within a minute.
PATIENCE_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
FILES_KB = 2**20  # what is kept on a board for the next time: 1 GiB of a card of 16 or 32
_STEP_S = 30.0  # for a step that moves no file
_SLOWEST = 200_000  # bytes a second that a file moves at, at least
_CHECK_AGAIN_S = 60.0  # a file in use stays among the recently used ones, which are never removed first
_HEADER_MOST = 2**20
_LOST = 255  # the OpenSSH client's own failure
_T = TypeVar("_T")


class _LostError(Exception):
    """The connection broke in the middle of a step."""


class SshLink:
    """Runs programs on the device at the other end of a connection.

    What is sent is checked by sha256 and kept there under a size limit, so that nothing is sent twice. A
    step whose connection broke is done again on a new one, as often as ``patience_s`` has pauses.
    """

    def __init__(self, connection: SshConnection, *, patience_s: Sequence[float] = PATIENCE_S, files_kb: int = FILES_KB) -> None:
        self._connection = connection
        self._patience_s = tuple(patience_s)
        self._files_kb = files_kb
        self._boot = ""
        self._python = ""
        self._sent: dict[tuple[Digest, str], float] = {}  # when a file was last seen there

    @property
    def device(self) -> str:
        """The address, as a user writes it."""
        return str(self._connection.address)

    @property
    def python(self) -> tuple[str, ...]:
        """The Python of our own virtual environment there, or the device's python3.

        Raises:
            RuntimeMissingError: there is neither.
        """
        if not self._python:
            finished = self._again(lambda session: self._script(session, board_scripts.PYTHON, session.root))
            if finished.status != 0:
                raise RuntimeMissingError(
                    f"'{self.device}' must have python3 for this runtime; it has none", hint="apt-get install python3"
                )
            self._python = os.fsdecode(finished.stdout.strip())
        return (self._python,)

    @property
    def folder(self) -> str:
        """The folder on the device that holds what is ours."""
        return self._again(lambda session: session.root)

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout_s: float) -> Finished:
        """Run a program there in a process group of its own; the group dies with a failure.

        Raises:
            MeasureError: the program is not there, did not end in time (TimedOutError, retryable), or said too much.
            DeviceError: the device, or the way to it, failed.
        """
        return self._again(lambda session: self._run(session, argv, stdin, timeout_s))

    def push(self, path: Path) -> str:
        """Send a file that is not there yet and return its path there, by the same name.

        Raises:
            MeasureError: there is no such file, or it did not arrive whole.
            DeviceDiskFullError: there is no room for it.
            DeviceError: the device, or the way to it, failed.
        """
        if not path.is_file():
            raise MeasureError(f"a file to push must exist; got '{path}'")
        digest = digest_of_file(path)
        return self._again(lambda session: self._push(session, path, digest))

    def place(self, out: Path) -> str:
        """Return a path in a new folder there, by the same name.

        Raises:
            MeasureError: ``out`` cannot be written here.
            DeviceError: the device, or the way to it, failed.
        """
        try:
            out.touch()
        except OSError as error:
            raise MeasureError(f"'{out}' could not be written: {error.strerror}") from error
        own = secrets.token_hex(8)

        def placed(session: Session) -> str:
            _worked(self._script(session, board_scripts.PLACE, session.root, own))
            return f"{session.root}/made/{own}/{out.name}"

        return self._again(placed)

    def pull(self, remote: str, out: Path) -> None:
        """Fetch a file; what was made there is known there from now on, and not sent again.

        Raises:
            MeasureError: there is no such file, it cannot be written here, or it did not arrive whole.
            DeviceError: the device, or the way to it, failed.
        """
        self._again(lambda session: self._pull(session, remote, out))

    def beat(self, path: str) -> None:
        """Let the device write its uptime to a file there, at no cost to what runs."""
        self._connection.beat(path)

    def forget_python(self) -> None:
        """Look for the device's Python anew with the next need."""
        self._python = ""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _again(self, step: Callable[[Session], _T]) -> _T:
        """Do a step; on a new connection where the one that stood is lost."""
        stood = bool(self._boot)
        reason: Exception | None = None
        for pause_s in (0.0, *self._patience_s):
            time.sleep(pause_s)
            try:
                return step(self._session())
            except _LostError as error:
                stood, reason = True, error
                self._connection.close()
            except UnreachableError as error:
                if not stood:
                    raise
                reason = error
        raise ConnectionLostError(
            f"the connection to '{self.device}' broke and did not come back in {len(self._patience_s)} tries: {reason}",
            hint="see that the device runs and is on the network, then run the same command again",
        )

    def _session(self) -> Session:
        before, session = self._connection.session, self._connection.open()
        if session is not before:
            self._sent.clear()
        if self._boot not in {"", session.boot}:
            self._boot = session.boot
            raise RebootedError(
                f"'{self.device}' must keep running while it is measured; it was started anew", hint="run the same command again"
            )
        self._boot = session.boot
        return session

    def _run(
        self,
        session: Session,
        argv: Sequence[str],
        stdin: bytes | IO[bytes],
        timeout_s: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Finished:
        mark = secrets.token_hex(8)
        answer = _Answer(mark.encode(), into)
        command = self._connection.command(["sh", "-c", board_scripts.RUN, "sh", mark, session.folder, *argv])
        try:
            finished = run_process(command, stdin=stdin, timeout_s=timeout_s, stdout_to=answer)
        except OverrunError as error:
            self._end(answer.group)
            raise overrun(argv[0], error) from None
        except BaseException:
            self._end(answer.group)
            raise
        if answer.absent:
            raise MeasureError(f"'{argv[0]}' could not be started: there is no such program on '{self.device}'")
        if answer.group is None or (finished.status == _LOST and not self._connection.stands()):
            raise _LostError(last_line(finished.stderr) or "the connection was closed")
        if finished.status != 0 and disk_full(finished.stderr.decode(errors="replace")):
            raise disk_full_failure(self.device)
        # A shell says 128 + the number of the signal that ended a program.
        status = 128 - finished.status if 128 < finished.status < _LOST else finished.status
        return Finished(status=status, stdout=bytes(answer.kept), stderr=finished.stderr)

    def _script(self, session: Session, script: str, *args: str) -> Finished:
        return self._run(session, ["sh", "-c", script, "sh", *args], b"", _STEP_S)

    def _end(self, group: bytes | None) -> None:
        """End a group of processes there; where the way is broken, the keeper does it."""
        if group is not None:
            with contextlib.suppress(OSError, OverrunError):
                command = self._connection.command(["sh", "-c", board_scripts.END, "sh", os.fsdecode(group)])
                run_process(command, stdin=b"", timeout_s=_STEP_S)

    def _push(self, session: Session, path: Path, digest: Digest) -> str:
        there = f"{session.root}/files/{digest}/as/{path.name}"
        seen = self._sent.get((digest, path.name))
        if seen is not None and time.monotonic() - seen < _CHECK_AGAIN_S:
            return there
        checked = "" if seen is None else "checked"
        found = _worked(self._script(session, board_scripts.HAVE, session.root, digest, path.name, checked))
        if found.stdout != b"have\n":
            mode = "500" if os.access(path, os.X_OK) else "400"
            put = ["sh", "-c", board_scripts.PUT, "sh", session.root, digest, path.name, mode, str(self._files_kb), session.mark]
            with path.open("rb") as stream:
                sent = self._run(session, put, stream, _STEP_S + path.stat().st_size / _SLOWEST)
            _worked(sent)
        self._sent[digest, path.name] = time.monotonic()
        return there

    def _pull(self, session: Session, remote: str, out: Path) -> None:
        try:
            with out.open("wb") as stream:
                fetched = _Fetched(stream)
                argv = ["sh", "-c", board_scripts.PULL, "sh", session.root, remote]
                # How large it is, is not known before: as long as the slowest program may take.
                finished = self._run(session, argv, b"", 600.0, fetched)
        except OSError as error:
            raise MeasureError(f"'{out}' could not be written: {error.strerror}") from error
        if finished.status != 0:
            raise MeasureError(f"'{remote}' could not be fetched: {last_line(finished.stderr) or f'status {finished.status}'}")
        if not fetched.whole:
            raise MeasureError(f"'{remote}' did not arrive whole: its sha256 is not the one that it has on '{self.device}'", retryable=True)


class _Answer:
    """Stdout of a step, from its mark on; takes pieces as they come."""

    def __init__(self, mark: bytes, into: Callable[[bytes], object] | None) -> None:
        self.kept = bytearray()
        self.group: bytes | None = None
        self.absent = False
        self._mark = mark + b" "
        self._head = bytearray()
        self._into = into or self._keep

    def __call__(self, piece: bytes) -> None:
        if self.group is not None:
            self._into(piece)
            return
        self._head += piece
        begin = self._head.find(self._mark)
        end = self._head.find(b"\n", begin) if begin >= 0 else -1
        if end >= 0:
            word, group = bytes(self._head[begin + len(self._mark) : end]).split(b" ")
            self.absent, self.group = word == b"absent", group
            self._into(bytes(self._head[end + 1 :]))
        elif len(self._head) > _HEADER_MOST:
            raise OverrunError("must not be drowned by what the login prints", b"", b"", in_time=True)

    def _keep(self, piece: bytes) -> None:
        self.kept += piece
        if len(self.kept) > MOST_BYTES:
            raise OverrunError(f"must say at most {MOST_BYTES >> 20} MiB", b"", b"", in_time=True)


class _Fetched:
    """A file as it comes: a line with its sha256, then its bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._line = bytearray()
        self._digest = ""
        self._hash = hashlib.sha256()

    def __call__(self, piece: bytes) -> None:
        if not self._digest:
            self._line += piece
            line, end, piece = bytes(self._line).partition(b"\n")
            if not end:
                return
            self._digest = line.decode(errors="replace")
        self._hash.update(piece)
        self._stream.write(piece)

    @property
    def whole(self) -> bool:
        """Say whether the bytes are those that were announced."""
        return self._hash.hexdigest() == self._digest


def _worked(finished: Finished) -> Finished:
    """Return a step of ours that worked; raises MeasureError."""
    if finished.status != 0:
        raise MeasureError(f"the device did not keep a file: {last_line(finished.stderr) or f'status {finished.status}'}", retryable=True)
    return finished
