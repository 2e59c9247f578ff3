"""Let the kernel start aarch64 programs with QEMU: one entry of binfmt_misc for each board, and its removal."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from emulated.places import BoardError, Places, program

KERNEL = Path("/proc/sys/fs/binfmt_misc")
# Debian's own entry: the magic of aarch64 programs, and flag F, by which the emulator need not lie in the board.
DEBIANS = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
PREFIX = "autokd-edge-"
_OWN = {"register", "status"}


def entry_of(folder: Path) -> str:
    """Return the name of a board's entry: each folder has its own, so that one board's end is no other's."""
    return PREFIX + hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def line_of(entry: str, debians: str) -> str:
    """Return Debian's line under the board's name.

    Raises:
        BoardError: Debian's line is no such line, or its emulator would have to lie in the board.
    """
    _, name, rest = f"{debians.strip()}::".split(":", 2)
    flags = debians.strip().rpartition(":")[2]
    if name != "qemu-aarch64" or "F" not in flags:
        raise BoardError(f"'{DEBIANS}' must hold one entry, qemu-aarch64 with flag F; got '{debians.strip()[:60]}'")
    return f":{entry}:{rest.removesuffix('::')}"


def register(places: Places, kernel: Path = KERNEL) -> None:
    """Register the board's entry where it is not there yet.

    Raises:
        BoardError: the emulator is not installed, or the kernel does not take the entry.
    """
    if not DEBIANS.is_file():
        raise BoardError(f"Debian's '{DEBIANS}' must be there; it is not", hint="apt-get install qemu-user-static")
    entry = entry_of(places.folder)
    line = line_of(entry, DEBIANS.read_text(encoding="ascii"))
    if not (kernel / "register").exists():
        places.mounted.touch()  # before the mount: an end between the two leaves nothing unknown
        _run([program("mount", "mount"), "-t", "binfmt_misc", "binfmt_misc", str(kernel)])
    elif any(path.name.startswith(PREFIX) for path in kernel.iterdir()):
        places.mounted.touch()  # for another board, perhaps: the last one of them unmounts
    if not (kernel / entry).exists():
        try:
            (kernel / "register").write_text(line, encoding="ascii")
        except OSError as error:
            raise BoardError(f"the kernel must take an entry for aarch64 in '{kernel}'; it said: {error.strerror}") from error


def unregister(places: Places, kernel: Path = KERNEL) -> None:
    """Remove the board's entry, and unmount what was mounted for boards where no entry is left."""
    entry = kernel / entry_of(places.folder)
    if entry.exists():
        entry.write_text("-1", encoding="ascii")
    if places.mounted.exists():
        if (kernel / "register").exists() and {path.name for path in kernel.iterdir()} == _OWN:
            _run([program("umount", "mount"), str(kernel)])
        places.mounted.unlink()


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BoardError(f"'{' '.join(argv)}' must work here; it said: {done.stderr.strip()}")
