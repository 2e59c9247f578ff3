"""Artifacts: files with the key of the recipe that made them and the digest of their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from autokd_edge.core.digest import Digest

Kind: TypeAlias = Literal["graph", "engine", "checkpoint", "quantized", "report", "logits", "reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One stored file."""

    kind: Kind
    key: Digest
    digest: Digest
    size_bytes: int
