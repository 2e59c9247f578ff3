"""One measurer at a time on a machine, by a lock file that the system frees when its holder dies."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autokd_edge.errors import MeasureError

_log = logging.getLogger(__name__)

_POLL_S = 0.05  # short beside the shortest reading (0.5 s), long beside a system call


class Lease:
    """The right to measure on this machine, held by one process at a time; not re-entrant."""

    def __init__(self, path: Path, *, wait_s: float = 300.0, patience_s: float = 30.0) -> None:
        """Make a lease by its lock file; who waits is told for whom after ``patience_s``, and no longer waits after ``wait_s``."""
        self._path = path
        self._wait_s = wait_s
        self._patience_s = patience_s

    @contextmanager
    def hold(self, purpose: str) -> Iterator[None]:
        """Wait for the lease, hold it, and give it back.

        Raises:
            MeasureError: another process kept it for the whole waiting time (retryable, names the
                holder), or the lock file cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MeasureError(f"the measuring lease '{self._path}' could not be opened: {error.strerror}") from error
        try:
            self._acquire(descriptor)
            holder = json.dumps({"pid": os.getpid(), "purpose": purpose}).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder, 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)  # closing frees the lock

    def _acquire(self, descriptor: int) -> None:
        began, told = time.monotonic(), False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited_s = time.monotonic() - began
                if waited_s >= self._wait_s:
                    raise MeasureError(
                        f"one measures at a time; {_holder(descriptor)} held '{self._path}' for more than {self._wait_s:g} s",
                        hint="wait for it to end, then run the same command again",
                        retryable=True,
                    ) from None
                if waited_s >= self._patience_s and not told:
                    _log.warning("waiting to measure: one measures at a time, and %s does", _holder(descriptor))
                    told = True
                time.sleep(_POLL_S)
            else:
                return


def default_lease_path() -> Path:
    """Where the lease of this user lies on this machine."""
    return Path.home() / ".cache" / "autokd-edge" / "measuring.lock"


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} ({holder['purpose']})"
    except (ValueError, KeyError, TypeError):
        return "another process"  # it took the lease a moment ago and has not signed yet
