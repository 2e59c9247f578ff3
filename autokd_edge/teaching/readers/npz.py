"""A data set in one .npz file of numpy arrays; object arrays, which are pickles, are refused.

Names that are understood: ``x_train, y_train, x_test, y_test`` (Keras), ``train_images,
train_labels, val_images, ...`` (MedMNIST), or ``images, labels``, of which a part is held out.
``classes`` may name the classes.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.parts import source_of_parts
from autokd_edge.teaching.samples import DataSource, Images, LabelledImages

Arrays = Mapping[str, npt.NDArray[Any]]
NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
_CHANNELS = (1, 3)
_SHAPES = 'numpy.savez("FILE.npz", images=..., labels=..., classes=...): uint8 (n, h, w, c), whole numbers (n,), texts (k,)'


def npz_file(path: Path) -> DataSource:
    """Read the file; raises DataError where it is no .npz, holds pickles, or its arrays are not images and labels."""
    arrays = _read(path)
    parts = {part: _part(arrays, pairs, path) for part, pairs in NAMES.items()}
    train = parts["train"]
    if train is None:
        wanted = " or ".join(" and ".join(pair) for pair in NAMES["train"])
        raise DataError(f"'{path}' must hold {wanted}; it holds {', '.join(sorted(arrays)) or 'nothing'}", hint=_SHAPES)
    return source_of_parts(f"npz-{path.stem}", _classes(arrays, train, path), train, parts["validation"], parts["test"])


def _read(path: Path) -> Arrays:
    if not path.is_file():
        raise DataError(f"data file must exist; '{path}' does not", hint="--data npz:FILE.npz")
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise DataError(f"data file '{path}' must be a whole .npz archive; it is none", hint="numpy.savez(FILE, x_train=...)")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        why = "it holds objects, that is pickles, which would run code" if "pickle" in str(error) else str(error)
        raise DataError(f"data file '{path}' must be a whole .npz of plain arrays; {why}", hint="numpy.savez(FILE, x_train=...)") from error


def _part(arrays: Arrays, pairs: tuple[tuple[str, str], ...], path: Path) -> LabelledImages | None:
    for images, labels in pairs:
        if images in arrays and labels in arrays:
            return LabelledImages(images=_images(arrays[images], f"{path}: {images}"), labels=_labels(arrays[labels], f"{path}: {labels}"))
    return None


def _images(array: npt.NDArray[Any], where: str) -> Images:
    """Return ``(n, c, h, w)`` of ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)``, c 1 or 3."""
    if array.dtype != np.uint8:
        raise DataError(f"images in '{where}' must be uint8, 0 to 255; got {array.dtype}", hint="(255 * images).round().astype('uint8')")
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[3] in _CHANNELS:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    if array.ndim == 4 and array.shape[1] in _CHANNELS:
        return array
    raise DataError(
        f"images in '{where}' must be (n, h, w), (n, h, w, c) or (n, c, h, w) with 1 or 3 channels; got {array.shape}", hint=_SHAPES
    )


def _labels(array: npt.NDArray[Any], where: str) -> npt.NDArray[np.int64]:
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        raise DataError(f"labels in '{where}' must be whole numbers (n,); got {array.dtype} {array.shape}", hint=_SHAPES)
    return flat.astype(np.int64)


def _classes(arrays: Arrays, train: LabelledImages, path: Path) -> tuple[str, ...]:
    if "classes" not in arrays:
        return tuple(str(number) for number in range(int(train.labels.max(initial=-1)) + 1))
    names = arrays["classes"]
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names):
        raise DataError(f"classes in '{path}' must be different texts (k,); got {names.dtype} {names.shape}", hint=_SHAPES)
    return tuple(str(name) for name in names)
