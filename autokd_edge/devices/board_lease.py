"""One measurer at a time on a board, whoever and from wherever: a lock there with owner, heartbeat and expiry.

A heartbeat is the board's uptime, written by the shell that waits at the other end of the connection, so
that it costs a running measurement nothing and no clock that is set can age it. A lock is free where its
heart stood still for the time of expiry, or where the board was started anew since. A process of the board's own that
measures there (``lease``) counts as well.
"""

from __future__ import annotations

import getpass
import secrets
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autokd_edge.devices.lease import EXPIRY_S, HERE, SHARED, Waiting
from autokd_edge.devices.process import last_line
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import DeviceError, MeasureError

_BEATS = 4  # in the time of expiry
_POLL_S = 1.0
_STEP_S = 30.0

# Both run under one lock of the system's, which lasts for the script alone. $1 folder, $2 owner, $3 who and what for, $4 expiry.
_GUARD = """
umask 0
mkdir -p "$1" 2>/dev/null
exec 9>"$1/guard" && flock -w 10 9 || exit
"""
_ACQUIRE = f"""{_GUARD}
read -r boot </proc/sys/kernel/random/boot_id
read -r up rest </proc/uptime
if [ -f "$1/owner" ]; then
  {{ read -r owner; read -r was_boot; read -r purpose; }} <"$1/owner"
  read -r beat <"$1/beat" || beat=0
  if [ "$owner" != "$2" ] && [ "$was_boot" = "$boot" ] && [ $((${{up%.*}} - ${{beat%.*}})) -lt "$4" ]; then
    printf 'busy %s\\n' "$purpose"
    exit
  fi
fi
echo "$up" >"$1/beat" && printf '%s\\n' "$2" "$boot" "$3" >"$1/owner" || exit
if [ -e "$1/{HERE}" ]; then
  flock -n "$1/{HERE}" true
  if [ $? = 1 ]; then
    rm -f "$1/owner"
    read -r purpose <"$1/{HERE}"
    printf 'busy %s there\\n' "$purpose"
    exit
  fi
fi
echo held
"""
_RELEASE = f"""{_GUARD}
read -r owner <"$1/owner" || owner=
[ "$owner" = "$2" ] || {{ echo lost; exit; }}
rm -f "$1/owner" && echo free
"""


class BoardLease:
    """The right to measure on the board at the other end of a link, held by one at a time; not re-entrant."""

    def __init__(
        self, link: SshLink, *, folder: str = SHARED, wait_s: float = 300.0, expiry_s: float = EXPIRY_S, patience_s: float = 30.0
    ) -> None:
        """Make a lease; who waits is told for whom after ``patience_s``, and no longer waits after ``wait_s``."""
        self._link = link
        self._folder = folder
        self._wait_s = wait_s
        self._expiry_s = expiry_s
        self._patience_s = patience_s

    @contextmanager
    def hold(self, purpose: str) -> Iterator[None]:
        """Wait for the board, hold it, and give it back.

        Raises:
            MeasureError: somebody else kept it for the whole waiting time, or took it when our
                heartbeat had stood still (both retryable, the former names the holder).
            DeviceError: the device, or the way to it, failed.
        """
        owner = secrets.token_hex(8)
        self._acquire(owner, purpose)
        stop = threading.Event()
        heart = threading.Thread(target=self._beat, args=(stop,), name="heartbeat", daemon=True)
        heart.start()
        kept = reached = True
        try:
            yield
        except DeviceError:
            reached = False  # what nobody can give back expires by itself
            raise
        finally:
            stop.set()
            heart.join()
            if reached:
                kept = self._script(_RELEASE, owner) != "lost"
        if not kept:
            raise MeasureError(
                f"'{self._link.device}' must be ours alone while we measure; our heartbeat stood still and another one took it",
                retryable=True,
            )

    def _acquire(self, owner: str, purpose: str) -> None:
        who = f"{getpass.getuser()} on {socket.gethostname()} ({purpose})"

        def taken_by() -> str | None:
            said = self._script(_ACQUIRE, owner, who, str(round(self._expiry_s)))
            return None if said == "held" else said.removeprefix("busy ")

        Waiting(wait_s=self._wait_s, patience_s=self._patience_s, poll_s=_POLL_S, where=f" on '{self._link.device}'").out(taken_by)

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(self._expiry_s / _BEATS):
            self._link.beat(f"{self._folder}/beat")

    def _script(self, script: str, *args: str) -> str:
        finished = self._link.run(["sh", "-c", script, "sh", self._folder, *args], stdin=b"", timeout_s=_STEP_S)
        if finished.status != 0:
            raise MeasureError(
                f"the measuring lease {shlex.quote(self._folder)} on '{self._link.device}' could not be used: {last_line(finished.stderr)}",
                retryable=True,
            )
        return finished.stdout.decode(errors="replace").strip()
