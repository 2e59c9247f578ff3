"""Preprocessed images on disk, for calibration and for grading engines; the test set only when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autokd_edge.core.atomic import written_whole
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import StoreError
from autokd_edge.ports import Split
from autokd_edge.teaching.samples import DataSource, LabelledImages, TeachingData, stratified

CALIBRATION = 300  # images; NNCF's default, and enough for activation ranges of image classifiers


class PreparedImages:
    """Writes each split once as float32 ``(n, c, h, w)``, (pixel / 255 - mean) / std."""

    def __init__(self, source: DataSource, data: TeachingData, folder: Path) -> None:
        self._source = source
        self._data = data
        self._folder = folder

    def inputs(self, split: Split) -> tuple[Path, npt.NDArray[np.int64]]:
        """Return the file of a split and its labels ``(n,)``; see ``ports.ImageSets``.

        Raises:
            StoreError: the file cannot be written (a full disk, say).
        """
        samples = self._samples(split)
        made_of = digest_of_bytes(samples.images.tobytes() + repr((self._data.mean, self._data.std)).encode())
        path = self._folder / f"{split}-{made_of}.npy"
        if not path.exists():
            _write(path, preprocessed(samples.images, self._data.mean, self._data.std))
        return path, samples.labels

    def _samples(self, split: Split) -> LabelledImages:
        if split == "test":
            return self._source.test()
        if split == "validation":
            return self._data.validation
        chosen, _ = stratified(self._data.train.labels, min(CALIBRATION, len(self._data.train)))
        return self._data.train.take(chosen)


def _write(path: Path, images: npt.NDArray[np.float32]) -> None:
    try:
        with written_whole(path) as begun, begun.open("wb") as stream:
            np.save(stream, images)
    except OSError as error:
        raise StoreError(f"images must be written to '{path}'; {error}", hint="free some space, or give another --out") from error


def preprocessed(images: npt.NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Normalise uint8 images ``(n, c, h, w)`` by channel: (pixel / 255 - mean) / std, float32."""
    scale = (1 / (255 * np.array(std))).astype(np.float32).reshape(1, -1, 1, 1)
    offset = (np.array(mean) / np.array(std)).astype(np.float32).reshape(1, -1, 1, 1)
    normalised: npt.NDArray[np.float32] = images.astype(np.float32) * scale - offset
    return normalised
