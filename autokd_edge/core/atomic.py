"""Write a file so that a kill or a power cut leaves the old one or the new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a place beside ``path`` to write to; it takes the name ``path``, durably, when the block ends well.

    The folder is made where it is missing; after a failure nothing is left beside ``path``. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_name(f".{path.name}.begun")
    try:
        yield begun
        sync(begun)
        begun.replace(path)
        sync(path.parent)
    finally:
        begun.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
