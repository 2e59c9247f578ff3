"""Start the board's sshd in namespaces of its own, find what runs on the board, and end it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from emulated.places import NAME, USER, BoardError, Places, program

START_S = 30.0  # sshd and the first login, translated, on a busy machine: 2 s on an idle one
END_S = 10.0


def make_keys(places: Places) -> None:
    """Make the two throw-away keys where they are not there."""
    places.user_key.parent.mkdir(mode=0o700, exist_ok=True)
    for key in (places.host_key, places.user_key):
        if not key.with_suffix(".pub").exists():
            key.unlink(missing_ok=True)
            argv = [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-C", NAME, "-f", str(key)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def start(places: Places, cpu: str) -> None:
    """Start sshd, or leave the one that runs with this processor.

    Raises:
        BoardError: it does not answer.
    """
    if processes_of(places):
        if port_of(places) and f"SetEnv QEMU_CPU={cpu}\n" in places.sshd_config.read_text(encoding="ascii") and _answers(places):
            return
        end(places)
    _configure(places, _free_port(), cpu)
    for name in ("resolv.conf", "hosts"):  # the board's network is this machine's
        with contextlib.suppress(OSError):
            shutil.copyfile(f"/etc/{name}", places.system / "etc" / name)
    (places.system / "run" / "sshd").mkdir(exist_ok=True)
    with places.log.open("ab") as log:
        sshd = subprocess.Popen(sshd_argv(places), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    deadline = time.monotonic() + START_S
    while not _answers(places):
        if sshd.poll() is not None or time.monotonic() > deadline:
            end(places)
            said = places.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise BoardError(f"the board's sshd must answer within {START_S:g} s; its last line: {said[-1] if said else 'nothing'}")
        time.sleep(0.2)


def sshd_argv(places: Places) -> list[str]:
    """Return the command of the board's sshd: its processes, its mounts and its host name are its own."""
    namespaces = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", f"--root={places.system}", "--mount-proc"]
    inside = "/" / places.sshd_config.relative_to(places.system)
    return [program("unshare", "util-linux"), *namespaces, "/usr/sbin/sshd", "-D", "-e", "-f", str(inside)]


def port_of(places: Places) -> int | None:
    """Return the port in the configuration, None where there is none."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = places.ssh_config.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[:1] == ["Port"])
    return None


def processes_of(places: Places) -> list[int]:
    """Return the processes whose root is the board's file system, or that make it."""
    roots = {(found.st_dev, found.st_ino) for found in map(_stat, (places.system, places.part)) if found is not None}
    made, root = os.fsencode(places.part), f"--root={places.system}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (process / "root").stat()
            words = (process / "cmdline").read_bytes().split(b"\0")
            if (status.st_dev, status.st_ino) in roots or made in words or root in words:
                found.append(int(process.name))
    return found


def end(places: Places) -> None:
    """End everything that runs on the board.

    Raises:
        BoardError: a process does not end.
    """
    deadline = time.monotonic() + END_S
    while processes := processes_of(places):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise BoardError(f"what runs on the board must end; process {processes[0]} does not")
        time.sleep(0.05)


def unmount(places: Places) -> None:
    """Unmount what an end in the middle may have left mounted below the folder, the deepest first.

    Raises:
        BoardError: something stays mounted.
    """
    for point in reversed(mounts_below(places.folder, Path("/proc/self/mountinfo").read_text(encoding="utf-8"))):
        done = subprocess.run([program("umount", "mount"), point], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise BoardError(f"'{point}' must be unmounted before its files go; umount said: {done.stderr.strip()}")


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """Return the mount points in a folder, in the order they were mounted."""
    points = (line.split(" ")[4].encode().decode("unicode_escape") for line in mountinfo.splitlines())
    return [point for point in points if Path(point).is_relative_to(folder)]


def ssh_config_text(places: Places, port: int) -> str:
    """Return the client's configuration; what the user's own says of other hosts goes on to hold."""
    quoted = {name: f'"{path}"' for name, path in (("key", places.user_key), ("known", places.known_hosts))}
    return (
        f"Host {NAME}\n  HostName 127.0.0.1\n  Port {port}\n  User {USER}\n  IdentityFile {quoted['key']}\n  IdentitiesOnly yes\n"
        f"  HostKeyAlias {NAME}\n  UserKnownHostsFile {quoted['known']}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n"
        "Match all\n  Include ~/.ssh/config\n"
    )


def _configure(places: Places, port: int, cpu: str) -> None:
    key = " ".join(places.host_key.with_suffix(".pub").read_text(encoding="ascii").split()[:2])
    places.known_hosts.write_text(f"{NAME} {key}\n", encoding="ascii")
    places.ssh_config.write_text(ssh_config_text(places, port), encoding="utf-8")
    places.ssh.parent.mkdir(exist_ok=True)
    client = [program("ssh", "openssh-client"), "-F", str(places.ssh_config)]
    places.ssh.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n', encoding="utf-8")
    places.ssh.chmod(0o755)
    places.sshd_config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey /etc/ssh/emulated_board_key\nPidFile none\nUsePAM no\nPrintMotd no\n"
        f"AllowUsers {USER}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\n"
        f"SetEnv QEMU_CPU={cpu}\nSubsystem sftp internal-sftp\n",
        encoding="ascii",
    )


def _answers(places: Places) -> bool:
    argv = [str(places.ssh), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", NAME, "true"]
    try:
        return subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=START_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
