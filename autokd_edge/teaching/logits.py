"""Teacher outputs, computed once for a study and kept on disk.

A sample's augmentation depends on (sample, variant, seed) alone, so that a row of a variant's table never
changes. A row is written before its mark: a killed run leaves no wrong row marked.

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
from autokd_edge.teaching.teacher import Teacher

MANY_CLASSES = 128  # up to here rows are whole and exact: 60,000 of them twice in 61 MB
KEPT = 64  # of more classes; two bytes each for the logit and its class


class TeacherLogits:
    """The tables of a teacher's logits for every augmented training sample, one for each variant."""

    def __init__(self, teacher: Teacher, *, samples: int, folder: Path) -> None:
        """Open or begin the first table in ``folder``; raises StoreError where there is no room for it."""
        self._answers = teacher.answers()
        self._shape = samples, teacher.classes
        self._folder = folder
        self._tables: dict[int, _Table] = {}
        self._table(0)

    @torch.no_grad()
    def of(self, images: Tensor, index: Tensor, variant: int) -> Tensor:
        """Return logits ``(b, classes)``; ``images`` are the augmented batch ``(b, c, h, w)`` of samples ``index``."""
        table, rows = self._table(variant), index.numpy()
        if not table.done[rows].all():
            with self._alone():
                missing = ~table.done[rows]
                if missing.any():  # nobody else computed them meanwhile
                    table.keep(rows[missing], self._answers(images[torch.from_numpy(missing)]))
        return table.of(rows)

    def _table(self, variant: int) -> _Table:
        if variant not in self._tables:
            with self._alone():
                self._tables[variant] = _Table(self._folder / f"{variant}.npy", *self._shape)
        return self._tables[variant]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from computing rows meanwhile: halves of a batch would be rounded otherwise than the whole."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _Table:
    """The logits of one variant; of many classes a row is KEPT logits and, last, the logit that stands for each of the others."""

    def __init__(self, file: Path, samples: int, classes: int) -> None:
        many = classes > MANY_CLASSES
        self._classes = classes
        self._rows = _mapped(file, (samples, KEPT + 1 if many else classes), np.float16 if many else np.float32)
        self._places = _mapped(file.with_suffix(".classes.npy"), (samples, KEPT), np.uint16) if many else None
        self.done = _mapped(file.with_suffix(".done.npy"), (samples,), np.bool_)

    def of(self, rows: Any) -> Tensor:  # noqa: ANN401  an index of numpy's
        """Return logits ``(b, classes)`` that are done."""
        known = torch.from_numpy(self._rows[rows])
        if self._places is None:
            return known
        whole = known[:, -1:].float().repeat(1, self._classes)
        return whole.scatter_(1, torch.from_numpy(self._places[rows].astype(np.int64)), known[:, :-1].float())

    def keep(self, rows: Any, logits: Tensor) -> None:  # noqa: ANN401  an index of numpy's
        """Write logits, then their marks."""
        if self._places is None:
            self._rows[rows] = logits.numpy()
        else:
            largest, places = logits.topk(KEPT, dim=1)
            rest = logits.scatter(1, places, -torch.inf).logsumexp(dim=1, keepdim=True) - math.log(self._classes - KEPT)
            self._rows[rows] = torch.cat([largest, rest], dim=1).half().numpy()
            self._places[rows] = places.numpy()
        self.done[rows] = True


def _mapped(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:  # noqa: ANN401  numpy types a memmap of unknown dtype so
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
