"""One measurer at a time on a machine, by a lock file that the system frees when its holder dies.

The file lies beside what those who measure on the machine over SSH sign (``board_lease``): neither begins while the other
holds. Each puts down its own sign first and looks for the other's then, so that of two at once at most one goes on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autokd_edge.errors import MeasureError

_log = logging.getLogger(__name__)

# All users of a machine share this place there, the one for locks on devices (Filesystem Hierarchy Standard 3.0, 5.9);
# a user's own folder would be another one for each. Who may log in there may measure.
SHARED = "/var/lock/autokd-edge"
HERE = "here"  # what a process of the machine itself locks
EXPIRY_S = 60.0  # of who measures over SSH and is heard of no more
_POLL_S = 0.05  # short beside the shortest reading (0.5 s), long beside a system call


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How one waits for the right to measure: for ``wait_s`` at most, told for whom after ``patience_s``."""

    wait_s: float
    patience_s: float
    poll_s: float
    what: str = "it"  # what somebody else holds
    where: str = ""  # " on 'DEVICE'" where it is not this machine

    def out(self, taken_by: Callable[[], str | None]) -> None:
        """Try to take it until nobody else has it; ``taken_by`` tries and names who has it.

        Raises:
            MeasureError: somebody else kept it for the whole time (retryable, names the holder).
        """
        began, told = time.monotonic(), False
        while (holder := taken_by()) is not None:
            waited_s = time.monotonic() - began
            if waited_s >= self.wait_s:
                raise MeasureError(
                    f"one measures at a time{self.where}; {holder} held {self.what} for more than {self.wait_s:g} s",
                    hint="wait for it to end, then run the same command again",
                    retryable=True,
                )
            if waited_s >= self.patience_s and not told:
                _log.warning("waiting to measure%s: one measures at a time, and %s does", self.where, holder)
                told = True
            time.sleep(min(self.poll_s, self.wait_s))


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
            descriptor = _opened(self._path)
        except OSError as error:
            raise MeasureError(f"the measuring lease '{self._path}' could not be opened: {error.strerror}") from error
        try:
            self._acquire(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} ({purpose})\n".encode(), 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)  # closing frees the lock

    def _acquire(self, descriptor: int) -> None:
        waiting = Waiting(wait_s=self._wait_s, patience_s=self._patience_s, poll_s=_POLL_S, what=f"'{self._path}'")
        waiting.out(lambda: self._taken_by(descriptor))

    def _taken_by(self, descriptor: int) -> str | None:
        """Take the lease, or say who has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "another process"  # it has not signed yet
        elsewhere = _over_ssh(self._path.parent)
        if elsewhere is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return elsewhere


def default_lease_path() -> Path:
    """Where the lease of this machine lies; where nobody may write there, that of this user."""
    shared = Path(SHARED)
    usable = os.access(shared if shared.exists() else shared.parent, os.W_OK)
    return shared / HERE if usable else Path.home() / ".cache" / "autokd-edge" / "measuring.lock"


def _opened(path: Path) -> int:
    """Open the lock file; in the shared place for everybody, whatever the umask."""
    made = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    shared = path.parent == Path(SHARED)
    if made and shared:
        path.parent.chmod(0o777)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if shared and os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, 0o666)
    return descriptor


def _over_ssh(folder: Path) -> str | None:
    """Say who measures on this machine over SSH: who signed since it was started, and was heard of before the expiry."""
    try:
        _, boot, purpose = (folder / "owner").read_text(encoding="utf-8", errors="replace").splitlines()
        beat = float((folder / "beat").read_text())
        same = boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError):
        return None
    return f"{purpose}, over SSH" if same and uptime - beat < EXPIRY_S else None
