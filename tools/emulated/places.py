"""Where the parts of an emulated board lie, and the one error of its tool: a sentence and the command to type next."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

NAME = "emulated-board"  # the host's name in the board's ssh configuration
USER = "board"
_SBIN = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")


class BoardError(Exception):
    """The board cannot be made or used; ``hint`` is the command to type next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}. Hint: {hint}" if hint else message)


class InputError(BoardError):
    """What the user gave breaks a law: exit status 2."""


@dataclass(frozen=True)
class Places:
    """One folder holds everything: the file system, the keys, and what the OpenSSH client needs to get in."""

    folder: Path

    @property
    def mark(self) -> Path:
        """Says that the folder is ours to remove; the first thing written and the last one removed."""
        return self.folder / "emulated-board"

    @property
    def system(self) -> Path:
        """The board's root file system, whole."""
        return self.folder / "system"

    @property
    def part(self) -> Path:
        """The same while it is being made."""
        return self.folder / "system.part"

    @property
    def host_key(self) -> Path:
        """The board's own key."""
        return self.folder / "keys" / "host"

    @property
    def user_key(self) -> Path:
        """The key that lets a user in."""
        return self.folder / "keys" / "user"

    @property
    def known_hosts(self) -> Path:
        """The board's key as strict host keys want it."""
        return self.folder / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """The way to the board under its name."""
        return self.folder / "ssh_config"

    @property
    def ssh(self) -> Path:
        """An ``ssh`` that knows the board and, beside it, what the user's own configuration knows."""
        return self.folder / "bin" / "ssh"

    @property
    def sshd_config(self) -> Path:
        """What the board's sshd reads, in the board."""
        return self.system / "etc" / "ssh" / "emulated_board_config"

    @property
    def log(self) -> Path:
        """What the board's sshd says."""
        return self.folder / "sshd.log"

    @property
    def mounted(self) -> Path:
        """Says that binfmt_misc was mounted for a board."""
        return self.folder / "mounted-binfmt-misc"

    @property
    def counting(self) -> Path:
        """The emulator that counts instructions, in the board."""
        return self.system / "opt" / "autokd-edge-counting"


def program(name: str, package: str) -> str:
    """Return the path of a program of this machine.

    Raises:
        BoardError: it is not installed.
    """
    found = shutil.which(name) or shutil.which(name, path=":".join(_SBIN))
    if found is None:
        raise BoardError(f"the program '{name}' must be installed; it is not", hint=f"apt-get install {package}")
    return found
