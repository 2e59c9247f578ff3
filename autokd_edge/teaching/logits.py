"""Teacher outputs, computed once for a study and kept on disk.

A sample's augmentation depends on (sample, epoch modulo K, seed) alone, so the table has K x n rows
and a row never changes. A row is written before its mark: a killed run leaves no wrong row marked.

Of many classes only the largest logits are kept, in float16; the others share what probability is
left at temperature 1, each as likely as the next.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd_edge.core.atomic import written_whole
from autokd_edge.errors import StoreError
from autokd_edge.teaching.augment import Augmenter
from autokd_edge.teaching.teacher import Teacher

MANY_CLASSES = 128  # up to here rows are whole and exact: 60,000 of them twice in 61 MB
KEPT = 64  # of more classes; two bytes each for the logit and its class


class TeacherLogits:
    """The table of a teacher's logits for every augmented training sample."""

    def __init__(self, teacher: Teacher, augment: Augmenter, *, samples: int, file: Path) -> None:
        """Open or begin the table in ``file`` (and its marks beside it); raises StoreError where there is no room for it."""
        self._answers = teacher.answers()
        self._augment = augment
        self._classes = teacher.classes
        shape = (augment.plan.variants, samples)
        many = teacher.classes > MANY_CLASSES
        # Of many classes a row is KEPT logits and, last, the logit that stands for each of the others.
        self._rows = _table(file, (*shape, KEPT + 1 if many else teacher.classes), np.float16 if many else np.float32)
        self._places = _table(file.with_suffix(".classes.npy"), (*shape, KEPT), np.uint16) if many else None
        self._lock = file.with_suffix(".lock")
        self._done = _table(file.with_suffix(".done.npy"), shape, np.bool_)

    @torch.no_grad()
    def of(self, images: Tensor, index: Tensor, epoch: int) -> Tensor:
        """Return logits ``(b, classes)``; ``images`` are the augmented batch ``(b, c, h, w)`` of samples ``index``."""
        variant, rows = epoch % self._augment.plan.variants, index.numpy()
        if not self._done[variant, rows].all():
            with self._alone():
                missing = ~self._done[variant, rows]
                if missing.any():  # nobody else computed them meanwhile
                    self._keep(variant, rows[missing], self._answers(images[torch.from_numpy(missing)]))
                    self._done[variant, rows[missing]] = True
        known = torch.from_numpy(self._rows[variant, rows])
        if self._places is None:
            return known
        whole = known[:, -1:].float().repeat(1, self._classes)
        return whole.scatter_(1, torch.from_numpy(self._places[variant, rows].astype(np.int64)), known[:, :-1].float())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from computing rows meanwhile: halves of a batch would be rounded otherwise than the whole."""
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _keep(self, variant: int, rows: Any, logits: Tensor) -> None:  # noqa: ANN401  an index of numpy's
        if self._places is None:
            self._rows[variant, rows] = logits.numpy()
            return
        largest, places = logits.topk(KEPT, dim=1)
        rest = logits.scatter(1, places, -torch.inf).logsumexp(dim=1, keepdim=True) - math.log(self._classes - KEPT)
        self._rows[variant, rows] = torch.cat([largest, rest], dim=1).half().numpy()
        self._places[variant, rows] = places.numpy()


def _table(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:  # noqa: ANN401  numpy types a memmap of unknown dtype so
    if not path.exists():
        try:
            with written_whole(path) as begun:
                np.lib.format.open_memmap(begun, mode="w+", dtype=dtype, shape=shape).flush()
                with begun.open("r+b") as stream:  # take the space now: a full disk under a mapped file would end the process
                    os.posix_fallocate(stream.fileno(), 0, begun.stat().st_size)
        except OSError as error:
            raise StoreError(
                f"teacher outputs must be written to '{path}'; {error}", hint="free some space, or give another --out"
            ) from error
    return np.lib.format.open_memmap(path, mode="r+")
