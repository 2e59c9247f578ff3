"""One connection of the OpenSSH client to a device, which many commands share; opened again where it was lost.

The user's own ssh configuration, agent, jump hosts and known hosts count. Keys of hosts are never
accepted unseen, and nothing is asked at a terminal.

The connection's own session runs a *keeper* on the device: a shell that waits. When it hears no more of
us, because we died or the way broke, it ends whatever runs for us, so that nobody measures next to an orphan.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import shlex
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from autokd_edge.devices.address import SshAddress
from autokd_edge.devices.process import last_line
from autokd_edge.errors import AccessDeniedError, DeviceDiskFullError, DeviceError, HostKeyError, UnreachableError

OPEN_S = 30.0  # to connect, log in and start the keeper: a jump host and a slow board take some seconds
CLOSE_S = 2.0  # for the client to close the connection in good order
OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"),
    # A device that is gone is noticed within 20 s, a cable pulled out included.
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "TCPKeepAlive=yes"),
    # What a user set for typing there by hand would disturb programs.
    *("-o", "RequestTTY=no", "-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes", "-o", "ForwardAgent=no"),
    *("-o", "ForwardX11=no", "-o", "PermitLocalCommand=no", "-o", "ControlPersist=no"),
)
# $1 is our mark, $2 that of the connection before, if there was one. Groups of processes that run for us have
# a file of their number in the session's folder; /proc/uptime is a clock that nobody sets.
_KEEPER = """
umask 077
root=${XDG_CACHE_HOME:-$HOME/.cache}/autokd-edge
read -r boot </proc/sys/kernel/random/boot_id
end() {
  for path in "$root/sessions/$boot-$1"/*; do kill -9 "-${path##*/}" 2>/dev/null; done
  rm -rf "$root/sessions/$boot-$1" "$root/made/part-$1"*
}
mkdir -p "$root/files" "$root/made" "$root/sessions/$boot-$1" || exit
for path in "$root"/sessions/*; do case $path in */"$boot"-*) ;; *) rm -rf "$path" ;; esac; done
if [ -n "$2" ]; then
  # Clocks that were locked for that connection stay so for this one.
  guard=$root/clocks/guard before=
  [ ! -f "$guard" ] || read -r before <"$guard"
  [ "$before" != "$root/sessions/$boot-$2" ] || echo "$root/sessions/$boot-$1" >"$guard"
  end "$2"
fi
printf '%s %s %s\\n' "$1" "$boot" "$root"
while read -r verb path; do
  case $verb in beat) read -r up rest </proc/uptime && echo "$up" 2>/dev/null >"$path" ;; esac
done
end "$1"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the device said when the connection was opened."""

    mark: str
    boot: str  # another one after each start of the device
    root: str  # the folder there for what is ours

    @property
    def folder(self) -> str:
        """Where this session's groups of processes are written down."""
        return f"{self.root}/sessions/{self.boot}-{self.mark}"


class SshConnection:
    """A way to one device, opened with the first need. ``client`` starts the OpenSSH client."""

    def __init__(self, address: SshAddress, *, client: Sequence[str] = ("ssh",)) -> None:
        self.address = address
        self._client = tuple(client)
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._closer: weakref.finalize[..., SshConnection] | None = None
        self.session: Session | None = None  # of the last connection, lost or not

    def open(self) -> Session:
        """Return the session of a connection that stands, opened now where there was none.

        Raises:
            HostKeyError: the device's key is unknown or changed.
            AccessDeniedError: the device does not let the user in.
            UnreachableError: nobody answers there, or it runs no commands.
            DeviceDiskFullError: there is no room for a folder of ours.
        """
        if self.session is not None and self._master is not None and self._master.poll() is None:
            return self.session
        self.close()
        mark = secrets.token_hex(8)
        before = "" if self.session is None else self.session.mark
        keeper = "exec " + shlex.join(["sh", "-c", _KEEPER, "sh", mark, before])
        errors = self._socket.with_name("errors")
        argv = [*self._client, *OPTIONS, "-o", "ControlMaster=yes", "-o", f"ControlPath={self._socket}", *self.address.login, keeper]
        with errors.open("wb") as stderr:
            try:
                master = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True)
            except OSError as error:
                raise UnreachableError(
                    f"'{argv[0]}' could not be started: {error.strerror}", hint="apt-get install openssh-client"
                ) from error
        self._master = master
        self._closer = weakref.finalize(self, _end, master)
        said = _line_with(mark.encode(), master, time.monotonic() + OPEN_S)
        if said is None:
            self.close()
            raise _failure(self.address, errors.read_bytes())
        boot, _, root = said.partition(b" ")
        self.session = Session(mark=mark, boot=boot.decode(), root=os.fsdecode(root))
        return self.session

    def stands(self) -> bool:
        """Ask the client whether the connection stands."""
        if self._master is None or self._master.poll() is not None:
            return False
        check = [*self._client, "-O", "check", "-o", f"ControlPath={self._socket}", *self.address.login]
        try:
            return subprocess.run(check, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=10).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the local command that runs a program on the device; every argument is quoted for the shell there."""
        # Where the connection is gone, the client would quietly open another; this keeps it from that.
        apart = ("-o", "ControlMaster=no", "-o", f"ControlPath={self._socket}", "-o", "ProxyCommand=false")
        return [*self._client, *OPTIONS, *apart, *self.address.login, "exec " + shlex.join(argv)]

    def beat(self, path: str) -> None:
        """Let the keeper write the device's uptime to a file there; without a connection nothing is written."""
        if self._master is not None and self._master.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                os.write(self._master.stdin.fileno(), b"beat " + os.fsencode(path) + b"\n")

    def close(self) -> None:
        """Close the connection; what still runs for us on the device is ended there."""
        if self._closer is not None:
            self._closer()
        self._master = None

    @property
    def _socket(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="autokd-"))  # short, because a socket's path has 100 letters at most
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / "control"


def _end(master: subprocess.Popen[bytes]) -> None:
    """Let the keeper see the end of its input, and the client close in good order."""
    for stream in (master.stdin, master.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        master.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        master.kill()
        master.wait()


def _line_with(mark: bytes, master: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """Read on until a line begins with the mark and return its rest; what a login script prints before is passed over."""
    stream = master.stdout
    said = b""
    while stream is not None and len(said) < 2**20:
        found = re.search(rb"^" + mark + rb" (.*)\n", said, re.MULTILINE)
        if found:
            return found[1]
        piece = _piece(stream, deadline)
        if not piece:
            return None
        said += piece
    return None


def _piece(stream: IO[bytes], deadline: float) -> bytes:
    ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
    return os.read(stream.fileno(), 4096) if ready else b""


def _failure(address: SshAddress, stderr: bytes) -> DeviceError:
    """Tell why no connection came about, from what the OpenSSH client said."""
    said = stderr.decode(errors="replace")
    reason = last_line(stderr) or f"no answer within {OPEN_S:g} s"
    by_hand = f"ssh {address.typed}"
    if "IDENTIFICATION HAS CHANGED" in said:
        return HostKeyError(
            f"the host key of '{address}' must be the one that is known; it has changed, so that this may be another machine",
            hint=f"find out why, then forget the old key: ssh-keygen -R {_known_name(address)}",
        )
    if "Host key verification failed" in said or "host key is known" in said:
        return HostKeyError(f"the host key of '{address}' must be known; it is not", hint=f"compare it once by hand: {by_hand}")
    if "Permission denied" in said or "Too many authentication failures" in said:
        return AccessDeniedError(
            f"'{address}' must let you in by a key, with nothing to type; it said: {reason}", hint=f"ssh-copy-id {address.typed}"
        )
    if disk_full(said):
        return disk_full_failure(str(address))
    return UnreachableError(f"'{address}' must answer and run commands; {reason}", hint=f"try it by hand: {by_hand} true")


def disk_full(stderr: str) -> bool:
    """Say whether a program on the device complained of a full disk."""
    return "No space left on device" in stderr or "Disk quota exceeded" in stderr


def disk_full_failure(device: str) -> DeviceDiskFullError:
    """Say that the device's disk is full, and what to do."""
    return DeviceDiskFullError(
        f"the disk of '{device}' must have room for engines and inputs; it is full",
        hint=f"free some space there; what is ours goes with autokd-edge doctor --device {device} --clean",
    )


def _known_name(address: SshAddress) -> str:
    return address.host if address.port in {None, 22} else f"'[{address.host}]:{address.port}'"
