"""Fashion-MNIST from its four IDX files, as they are distributed, or from the hub."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autokd_edge.errors import DataError
from autokd_edge.teaching.augment import AugmentPlan
from autokd_edge.teaching.readers.hub import library
from autokd_edge.teaching.samples import DataSource, LabelledImages, check_labels

FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
FASHION_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
FASHION_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"), Path(".data/usr/share/datasets/fashion-mnist"))
# Two variants: the teacher's outputs for both cost about two passes over the data, once for a study.
FASHION_AUGMENTATION = AugmentPlan(shift=1, flip=True, cutout=0, variants=2)
HELD_OUT = 5_000
_AGAIN = "copy the file again, as it was downloaded"


def fashion_mnist(folder: Path | None) -> DataSource:
    """Find the files in a folder, or in the usual ones; raises DataError where they are not all there."""
    folders = FASHION_FOLDERS if folder is None else (folder,)
    found = next((f for f in folders if (f / FASHION_FILES[0]).is_file()), None)
    if found is None and folder is None:
        return _from_hub()
    place = found or folders[0]
    # All four are looked for at once: the test files are read only at the very end of a search.
    missing = [name for name in FASHION_FILES if not (place / name).is_file()]
    if missing:
        raise DataError(f"Fashion-MNIST's four .gz files must lie in '{place}'; it has no {missing[0]}", hint="--data fashion-mnist")

    def part(stem: str) -> LabelledImages:
        images = read_idx(place / f"{stem}-images-idx3-ubyte.gz", dims=3)
        labels = read_idx(place / f"{stem}-labels-idx1-ubyte.gz", dims=1)
        return check_labels(LabelledImages(images=images[:, None], labels=labels.astype(np.int64)), FASHION_CLASSES, place)

    return DataSource(
        name="fashion-mnist",
        classes=FASHION_CLASSES,
        validation=HELD_OUT,
        augmentation=FASHION_AUGMENTATION,
        develop=lambda: part("train"),
        test=lambda: part("t10k"),
    )


def _from_hub() -> DataSource:
    install = "apt-get install dataset-fashion-mnist, or --data fashion-mnist:FOLDER"
    try:
        datasets = library()
    except ImportError:
        looked = ", ".join(str(f) for f in FASHION_FOLDERS)
        raise DataError(f"Fashion-MNIST must be in one of {looked}; none has it", hint=install) from None

    def part(split: str) -> LabelledImages:
        try:
            rows: Any = datasets.load_dataset("zalando-datasets/fashion_mnist", split=split)
        except Exception as error:  # the hub client raises errors of many libraries; all mean "not to be had"
            raise DataError(f"Fashion-MNIST could not be read from the hub: {type(error).__name__}", hint=install) from error
        images = np.stack([np.asarray(image, dtype=np.uint8) for image in rows["image"]])
        return LabelledImages(images=images[:, None], labels=np.asarray(rows["label"], dtype=np.int64))

    return DataSource(
        name="fashion-mnist",
        classes=FASHION_CLASSES,
        validation=HELD_OUT,
        augmentation=FASHION_AUGMENTATION,
        develop=lambda: part("train"),
        test=lambda: part("test"),
    )


def read_idx(path: Path, *, dims: int) -> npt.NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes (format: the MNIST page of LeCun, Cortes and Burges).

    Raises:
        DataError: the file is missing, is no IDX file, or is cut.
    """
    try:
        with gzip.open(path, "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        raise DataError(f"data file must exist; '{path}' does not", hint="apt-get install --reinstall dataset-fashion-mnist") from None
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"data file '{path}' is not a whole gzip file ({error})", hint="get the file again") from error
    header = 4 + 4 * dims
    if len(data) < header or data[:3] != b"\x00\x00\x08" or data[3] != dims:
        raise DataError(f"data file '{path}' must be an IDX file of {dims}-dimensional bytes; its head is {data[:4].hex()}", hint=_AGAIN)
    shape = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))
    if len(data) - header != int(np.prod(shape)):
        raise DataError(f"data file '{path}' must hold {int(np.prod(shape))} values; it holds {len(data) - header}", hint=_AGAIN)
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
