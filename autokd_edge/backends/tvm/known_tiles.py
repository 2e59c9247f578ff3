"""Which tile of a workload was fastest on a board, kept for the next network: one small file for each."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from autokd_edge.backends.tvm.tiles import Tile
from autokd_edge.core.atomic import written_whole
from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTile:
    """What timing up to ``most`` tiles of a workload came to; ``tile`` is None where the rule's was the fastest."""

    most: int
    tile: Tile | None


def default_known_tiles() -> Path:
    """Where this user's tiles lie on this machine."""
    return Path.home() / ".cache" / "autokd-edge" / "tiles"


class KnownTiles:
    """A folder of files by key, which names workload, toolchain and board; it is a cache, and may be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: Digest, most: int) -> KnownTile | None:
        """Return what is known under a key of at least so many tiles; what cannot be read is not known."""
        try:
            found = decode(KnownTile, json.loads(self._file(key).read_text(encoding="utf-8")))
        except (OSError, CodecError, ValueError):
            return None
        return found if found.most >= most else None

    def keep(self, key: Digest, known: KnownTile) -> None:
        """Write what was found; where nothing can be written, the next network is timed again."""
        with contextlib.suppress(OSError), written_whole(self._file(key)) as begun:
            begun.write_text(json.dumps(encode(known)) + "\n", encoding="utf-8")

    def _file(self, key: Digest) -> Path:
        return self._folder / f"{key}.json"
