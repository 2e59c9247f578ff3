"""Silence for a reading on the machine that teaches: workers pause between two steps while it is taken.

Two lock files, which the system frees when a holder dies. Who works holds the room with the others; who wants silence
holds the gate, so that nobody comes in any more, and then the room alone.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Silence:
    """The two locks in a folder; each call opens them anew, so that threads and processes are held apart alike."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._gate = folder / "gate.lock"
        self._room = folder / "room.lock"

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Do one step of work; waits while somebody keeps silence."""
        with self._room.open("w") as room:
            with self._gate.open("w") as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(room, fcntl.LOCK_SH)
            yield

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Wait until nobody works any more, and keep it so."""
        with self._gate.open("w") as gate, self._room.open("w") as room:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX)
            yield
