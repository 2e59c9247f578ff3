"""Content digests: SHA-256 of bytes, files and canonical JSON; full, never cut."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NewType

from autokd_edge.core.codec import Json

Digest = NewType("Digest", str)  # 64 hexadecimal characters


def digest_of_bytes(data: bytes) -> Digest:
    """Hash bytes with SHA-256."""
    return Digest(hashlib.sha256(data).hexdigest())


def digest_of_file(path: Path) -> Digest:
    """Hash a file's bytes with SHA-256 without holding them in memory."""
    with path.open("rb") as stream:
        return Digest(hashlib.file_digest(stream, "sha256").hexdigest())


def digest_of_json(value: Json) -> Digest:
    """Hash a JSON value in its canonical form: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return digest_of_bytes(text.encode())
