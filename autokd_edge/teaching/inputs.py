"""Preprocessed images on disk, for calibration and for grading engines; the test set only when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autokd_edge.ports import Split
from autokd_edge.teaching.data import DataSource, LabelledImages, TeachingData, stratified

CALIBRATION = 300  # images; NNCF's default, and enough for activation ranges of image classifiers


class PreparedImages:
    """Writes each split once as float32 ``(n, c, h, w)``, (pixel / 255 - mean) / std."""

    def __init__(self, source: DataSource, data: TeachingData, folder: Path) -> None:
        self._source = source
        self._data = data
        self._folder = folder

    def inputs(self, split: Split) -> tuple[Path, npt.NDArray[np.int64]]:
        """Return the file of a split and its labels ``(n,)``; see ``ports.ImageSets``."""
        samples = self._samples(split)
        path = self._folder / f"{split}-{self._data.digest}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            begun = path.with_suffix(".begun")
            with begun.open("wb") as stream:
                np.save(stream, preprocessed(samples.images, self._data.mean, self._data.std))
            begun.replace(path)
        return path, samples.labels

    def _samples(self, split: Split) -> LabelledImages:
        if split == "test":
            return self._source.test()
        if split == "validation":
            return self._data.validation
        chosen, _ = stratified(self._data.train.labels, min(CALIBRATION, len(self._data.train)))
        return self._data.train.take(chosen)


def preprocessed(images: npt.NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Normalise uint8 images ``(n, c, h, w)`` by channel: (pixel / 255 - mean) / std, float32."""
    scale = (1 / (255 * np.array(std))).astype(np.float32).reshape(1, -1, 1, 1)
    offset = (np.array(mean) / np.array(std)).astype(np.float32).reshape(1, -1, 1, 1)
    normalised: npt.NDArray[np.float32] = images.astype(np.float32) * scale - offset
    return normalised
