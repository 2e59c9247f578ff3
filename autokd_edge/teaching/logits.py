"""Teacher outputs, computed once for a study and kept on disk.

A sample's augmentation depends on (sample, epoch modulo K, seed) alone, so the table has K x n rows
and a row never changes. A row is written before its mark: a killed run leaves no wrong row marked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd_edge.errors import StoreError
from autokd_edge.teaching.augment import Augmenter
from autokd_edge.teaching.teachers import Teacher


class TeacherLogits:
    """The table of a teacher's logits for every augmented training sample."""

    def __init__(self, teacher: Teacher, augment: Augmenter, *, samples: int, file: Path) -> None:
        """Open or begin the table in ``file`` (and its marks beside it); raises StoreError where there is no room for it."""
        self._network = teacher.network().laid_out(torch.channels_last)
        self._augment = augment
        shape = (augment.plan.variants, samples)
        self._rows = _table(file, (*shape, teacher.card.spec.classes), np.float32)
        self._done = _table(file.with_suffix(".done.npy"), shape, np.bool_)

    @torch.no_grad()
    def of(self, images: Tensor, index: Tensor, epoch: int) -> Tensor:
        """Return logits ``(b, classes)``; ``images`` are the augmented batch ``(b, c, h, w)`` of samples ``index``."""
        variant, rows = epoch % self._augment.plan.variants, index.numpy()
        missing = ~self._done[variant, rows]
        if missing.any():
            fresh = self._network(images[torch.from_numpy(missing)].contiguous(memory_format=torch.channels_last))
            self._rows[variant, rows[missing]] = fresh.numpy()
            self._done[variant, rows[missing]] = True
        return torch.from_numpy(self._rows[variant, rows])


def _table(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:  # noqa: ANN401  numpy types a memmap of unknown dtype so
    if not path.exists():
        begun = path.with_suffix(".begun")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(begun, mode="w+", dtype=dtype, shape=shape).flush()
            with begun.open("r+b") as stream:  # take the space now: a full disk under a mapped file would end the process
                os.posix_fallocate(stream.fileno(), 0, begun.stat().st_size)
            begun.replace(path)
        except OSError as error:
            begun.unlink(missing_ok=True)
            raise StoreError(
                f"teacher outputs must be written to '{path}'; {error}", hint="free some space, or give another --out"
            ) from error
    return np.lib.format.open_memmap(path, mode="r+")
