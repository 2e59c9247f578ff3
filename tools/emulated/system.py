"""Make the board's file system: Debian for arm64 by debootstrap, one user, Python and an sshd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from emulated.places import USER, BoardError, Places, program

# What a small Arm board comes with: Debian, Python, an sshd; libstdc++ and libgomp for C++ runtimes.
PACKAGES = ("openssh-server", "python3-venv", "libstdc++6", "libgomp1")
MARKER = "etc/autokd-edge-emulated"  # devices/facts.py looks for it: no reading taken here was measured on a device
_SOURCE = re.compile(r"^\s*\d+ (https?://\S+|file:\S+) (\S+)/main \S+ Packages$", re.MULTILINE)


def mirror_of(policy: str) -> tuple[str, str]:
    """Return the mirror and the suite that apt uses, from what ``apt-cache policy`` prints.

    Raises:
        BoardError: it names no suite of a distribution.
    """
    for mirror, suite in _SOURCE.findall(policy):
        if "-" not in suite:  # bookworm-updates, bookworm-security
            return mirror, suite
    raise BoardError("apt must know a mirror and a suite of Debian; `apt-cache policy` names none", hint="apt-get update")


def alone(argv: list[str]) -> list[str]:
    """Return the command that runs another in namespaces of its own, and ends all of it with this program.

    What it mounts is mounted there alone; its processes end together, however this program ends.
    """
    die_together = [program("setpriv", "util-linux"), "--pdeathsig", "KILL"]
    return [*die_together, program("unshare", "util-linux"), "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *argv]


def debootstrap_argv(part: Path, mirror: str, suite: str) -> list[str]:
    """Return the command that makes a file system in a folder."""
    tool = program("debootstrap", "debootstrap")
    return [tool, "--arch=arm64", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(part), mirror]


def make_system(places: Places) -> None:
    """Make the file system where it is not there whole; one rename ends it.

    Raises:
        BoardError: debootstrap is not installed or failed.
    """
    if places.system.is_dir():
        return
    shutil.rmtree(places.part, ignore_errors=True)
    policy = subprocess.run([program("apt-cache", "apt"), "policy"], check=True, capture_output=True, text=True).stdout
    argv = alone(debootstrap_argv(places.part, *mirror_of(policy)))
    log = places.folder / "debootstrap.log"
    with log.open("wb") as said:
        status = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=said, stderr=said).returncode
    if status != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise BoardError(f"debootstrap must end well; its last line: {lines[-1] if lines else f'status {status}'}", hint=f"see {log}")
    _finish(places)
    places.part.rename(places.system)


def _finish(places: Places) -> None:
    """Add the user and the mark of an emulated board."""
    part = places.part
    useradd = ["/usr/sbin/useradd", "--create-home", "--shell", "/bin/bash", "--password", "*", USER]
    done = subprocess.run([program("chroot", "coreutils"), str(part), *useradd], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BoardError(f"the board must take the user '{USER}'; it said: {done.stderr.strip()}")
    (part / MARKER).write_text("QEMU's user mode: what runs here is translated for another processor\n", encoding="ascii")
    keys = part / "home" / USER / ".ssh"
    keys.mkdir(mode=0o700)
    shutil.copyfile(places.user_key.with_suffix(".pub"), keys / "authorized_keys")
    owner = (part / "home" / USER).stat()
    for path in (keys, keys / "authorized_keys"):
        os.chown(path, owner.st_uid, owner.st_gid)
    shutil.copyfile(places.host_key, part / "etc" / "ssh" / "emulated_board_key")
    (part / "etc" / "ssh" / "emulated_board_key").chmod(0o600)


def install(places: Places, packages: list[str]) -> None:
    """Put wheels for aarch64 into a virtual environment on the board, where ``doctor --install`` has its own.

    The pip of this machine fetches and unpacks them: under emulation it would take minutes.

    Raises:
        BoardError: there is no such wheel.
    """
    import sys

    home = places.system / "home" / USER
    venv = home / ".cache" / "autokd-edge" / "venv"
    version = _python_of(places.system)
    site = venv / "lib" / f"python{version}" / "site-packages"
    if not (venv / "pyvenv.cfg").exists():
        (venv / "bin").mkdir(parents=True, exist_ok=True)
        for name in ("python", "python3"):
            (venv / "bin" / name).unlink(missing_ok=True)
            (venv / "bin" / name).symlink_to(f"/usr/bin/python{version}")
        site.mkdir(parents=True, exist_ok=True)
        (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", encoding="ascii")
    platforms = [word for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014") for word in ("--platform", f"{tag}_aarch64")]
    wheels = ["--only-binary=:all:", f"--python-version={version}", *platforms]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    done = subprocess.run([*pip, "--target", str(site), *wheels, *packages], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines() or ["nothing"]
        raise BoardError(f"wheels for aarch64 must be had of {', '.join(packages)}; pip said: {said[0]}")
    owner = home.stat()
    for path in (home / ".cache", *(home / ".cache").rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _python_of(system: Path) -> str:
    found = sorted((system / "usr" / "bin").glob("python3.*[0-9]"))
    if not found:
        raise BoardError(f"the board's system in '{system}' must have Python; it has none", hint="tools/emulated_board.py down")
    return found[-1].name.removeprefix("python")
