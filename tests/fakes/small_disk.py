"""A real file system of a few kilobytes, to run full on purpose; needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, kibibytes: int) -> Iterator[Path]:
    """Mount a tmpfs on a new folder; skips the test, with the reason, where that is not allowed."""
    folder.mkdir()
    done = _run("mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder))
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        assert _run("umount", str(folder)).returncode == 0


def make_read_only(folder: Path) -> None:
    """Remount a small disk read-only."""
    assert _run("mount", "-o", "remount,ro", str(folder)).returncode == 0


def _run(*argv: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, check=False, capture_output=True)
