"""A real sshd on loopback with throw-away keys, as the device at the other end of a link."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
USER = getpass.getuser()


class LoopbackBoard:
    """One sshd, its keys, and a client configured for it; ``home`` is where the board keeps what is sent."""

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None, boot: Path | None = None) -> None:
        if SSHD is None:
            pytest.skip("sshd is not installed: apt-get install openssh-server")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._boot = boot  # a file that its programs see in the place of the kernel's boot_id: another text is another start
        self.cache = folder / "cache"
        self.port = _free_port()
        for name in ("host", "user"):
            subprocess.run([str(shutil.which("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        self._config = folder / "sshd_config"
        # A home of its own: what the user's login scripts do is no part of a test.
        self._environment = {"HOME": str(folder), "XDG_CACHE_HOME": str(self.cache), **(environment or {})}
        self.write_config()
        self.trust("host.pub")
        self.client = folder / "ssh_config"
        self.client.write_text(
            f"Host *\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile none\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def device(self) -> str:
        """What a user gives to --device."""
        return f"ssh://{USER}@127.0.0.1:{self.port}"

    @property
    def ssh(self) -> tuple[str, ...]:
        """The client with the throw-away keys."""
        return ("ssh", "-F", str(self.client))

    def give_runtimes(self) -> None:
        """Give the board the packages of these tests, where ``doctor --install`` would put its own."""
        place = self.cache / "autokd-edge" / "venv"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(sys.prefix)

    def path_with_client(self) -> str:
        """A PATH on which ``ssh`` is the client with the throw-away keys."""
        shim = self.folder / "bin" / "ssh"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.client} "$@"\n')
        shim.chmod(0o755)
        return f"{shim.parent}{os.pathsep}{os.environ['PATH']}"

    def write_config(self, *, host_key: str = "host", more: str = "") -> None:
        """Write what sshd reads when it starts."""
        said = "SetEnv " + " ".join(f'"{name}={value}"' for name, value in self._environment.items())  # the first such line counts alone
        self._config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.folder}/{host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\nPrintMotd no\n{said}\n{more}\n"
        )

    def trust(self, public_key: str) -> None:
        """Make a host key the known one."""
        key = " ".join((self.folder / public_key).read_text().split()[:2])
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {key}\n")

    def start(self) -> None:
        """Start sshd and wait until it answers."""
        assert SSHD is not None
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        argv = [SSHD, "-D", "-e", "-f", str(self._config)]
        if self._boot is not None:
            inside = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
            argv = ["unshare", "--mount", "sh", "-c", inside, str(self._boot), *argv]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self._process.poll() is None, (self.folder / "sshd.log").read_text()
            assert time.monotonic() < end, "sshd did not answer within 10 s"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop sshd, and the connections that stand."""
        if self._process is not None:
            self.cut()
            self._process.terminate()
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """End every connection that stands, as a cable that is pulled would."""
        for pid in self._connections():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def logins(self) -> int:
        """Count the connections that were ever made."""
        return (self.folder / "sshd.log").read_text().count("Accepted publickey")

    def _connections(self) -> list[int]:
        assert self._process is not None
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, rest = stat.read_text().partition(" (")
                children.setdefault(int(rest.rpartition(") ")[2].split()[1]), []).append((int(pid), rest.startswith("sshd)")))
        found, ahead = [], [self._process.pid]
        while ahead:
            grown = [pid for pid, is_sshd in children.get(ahead.pop(), []) if is_sshd]
            found += grown
            ahead += grown
        return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
