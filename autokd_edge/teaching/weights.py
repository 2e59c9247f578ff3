"""Weights on disk: safetensors, written by one rename."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from autokd_edge.core.atomic import written_whole
from autokd_edge.errors import StoreError


def write_arrays(path: Path, arrays: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays and text; a reader sees the old file or the new one, never a part.

    Raises:
        StoreError: the file cannot be written (a full disk, say).
    """
    try:
        with written_whole(path) as begun:
            save_file(dict(arrays), begun, metadata=dict(metadata or {}))
    except (SafetensorError, OSError) as error:
        raise StoreError(f"weights must be written to '{path}'; {error}", hint="free some space, or give another --out") from error
