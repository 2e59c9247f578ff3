"""Put a runtime into a virtual environment of its own on a device, and take away again what is ours there."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from autokd_edge.devices.process import last_line
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import RuntimeMissingError

_VENV_TIMEOUT_S = 300.0  # a card writes 20 MB of small files
_PIP_TIMEOUT_S = 1800.0  # OpenVINO is 50 MB, over whatever network the board has


def install_runtimes(link: SshLink, packages: Sequence[str]) -> tuple[str, ...]:
    """Install packages, in the versions of this machine where it has them; returns what was asked of pip.

    Raises:
        RuntimeMissingError: the device has no python3 with venv, or pip found no such package for it.
        DeviceError: the device, or the way to it, failed.
    """
    place = f"{link.folder}/venv"
    made = link.run(["python3", "-m", "venv", place], stdin=b"", timeout_s=_VENV_TIMEOUT_S)
    if made.status != 0:
        said = last_line(made.stderr) or last_line(made.stdout)
        raise RuntimeMissingError(
            f"'{link.device}' must be able to make a virtual environment: {said}", hint="on the device: apt-get install python3-venv"
        )
    wanted = tuple(map(_as_here, packages))
    pip = [f"{place}/bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *wanted]
    done = link.run(pip, stdin=b"", timeout_s=_PIP_TIMEOUT_S)
    if done.status != 0:
        raise RuntimeMissingError(
            f"'{link.device}' must get {', '.join(wanted)} from pip: {last_line(done.stderr) or last_line(done.stdout)}",
            hint="see that the device reaches a package index",
        )
    link.forget_python()
    return wanted


def remove_ours(link: SshLink) -> None:
    """Remove all files of ours from a device, runtimes included; raises DeviceError."""
    link.run(["rm", "-rf", f"{link.folder}/files", f"{link.folder}/made", f"{link.folder}/venv"], stdin=b"", timeout_s=_VENV_TIMEOUT_S)
    link.forget_python()  # it may have been ours
    link.close()


def _as_here(package: str) -> str:
    if package == "numpy":
        return package  # whichever the runtime wants
    try:
        return f"{package}=={importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package
