"""Labelled image sets as arrays in memory, and the three-way split that keeps the test set apart.

The test set is behind its own call: what searches gets a ``TeachingData`` and cannot reach it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autokd_edge.core.digest import Digest
from autokd_edge.errors import DataError
from autokd_edge.teaching.augment import AugmentPlan

Images = npt.NDArray[np.uint8]  # (n, c, h, w)
Labels = npt.NDArray[np.int64]  # (n,)
FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
FASHION_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
FASHION_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"), Path(".data/usr/share/datasets/fashion-mnist"))
# Two variants: the teacher's outputs for both cost about two passes over the data, once for a study.
FASHION_AUGMENTATION = AugmentPlan(shift=1, flip=True, cutout=0, variants=2)
DIGITS_AUGMENTATION = AugmentPlan(shift=1, flip=False, cutout=0, variants=4)
SPLIT_SEED = 20211105  # the day of arXiv 2111.03555; any constant serves, but it must never change


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """Images ``(n, c, h, w)`` uint8 and their labels ``(n,)``."""

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or len(self.images) != len(self.labels):
            raise DataError(f"images must be uint8 (n, c, h, w) with n labels; got {self.images.shape} and {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: npt.NDArray[np.int64]) -> LabelledImages:
        """Return the samples at the given positions."""
        return LabelledImages(images=self.images[index], labels=self.labels[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingData:
    """What a search may see: training and validation samples, never the test set.

    ``mean`` and ``std`` (per channel, in units of pixel / 255) come from the training split.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: AugmentPlan
    digest: Digest

    @property
    def image(self) -> tuple[int, int, int]:
        """Shape of one image, ``(c, h, w)``."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data set that can be loaded: its development part and, apart from it, its test part."""

    name: str
    classes: tuple[str, ...]
    validation: int
    augmentation: AugmentPlan
    develop: Callable[[], LabelledImages]
    test: Callable[[], LabelledImages]

    def teaching(self) -> TeachingData:
        """Load the development part and split it, stratified by class, by a fixed seed."""
        samples = self.develop()
        if len(samples) <= self.validation:
            raise DataError(f"data set '{self.name}' must have more than the {self.validation} samples held out; it has {len(samples)}")
        held, kept = stratified(samples.labels, self.validation)
        train = samples.take(kept)
        pixels = train.images.astype(np.float64) / 255
        digest = hashlib.sha256(samples.images.tobytes() + samples.labels.tobytes())
        digest.update(f"{self.name}/{self.validation}/{SPLIT_SEED}".encode())
        return TeachingData(
            name=self.name,
            classes=self.classes,
            train=train,
            validation=samples.take(held),
            mean=tuple(float(m) for m in pixels.mean(axis=(0, 2, 3))),
            std=tuple(float(s) for s in pixels.std(axis=(0, 2, 3))),
            augmentation=self.augmentation,
            digest=Digest(digest.hexdigest()),
        )


def data_source(name: str) -> DataSource:
    """Find a data set by the name on the command line: ``digits``, ``fashion-mnist`` or ``fashion-mnist:FOLDER``.

    Raises:
        DataError: the name is unknown, or no folder holds the files.
    """
    kind, _, where = name.partition(":")
    if kind == "digits" and not where:
        return _digits()
    if kind == "fashion-mnist":
        return _fashion_mnist((Path(where),) if where else FASHION_FOLDERS)
    raise DataError(f"data set must be one of digits, fashion-mnist, fashion-mnist:FOLDER; got '{name}'", hint="--data fashion-mnist")


def _fashion_mnist(folders: tuple[Path, ...]) -> DataSource:
    folder = next((f for f in folders if (f / FASHION_FILES[0]).is_file()), None)
    if folder is None and len(folders) > 1:
        return _fashion_mnist_from_hub()
    folder = folder or folders[0]
    # All four are looked for at once: the test files are read only at the very end of a search.
    missing = [name for name in FASHION_FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(f"Fashion-MNIST's four .gz files must lie in '{folder}'; it has no {missing[0]}", hint="--data fashion-mnist")

    def part(stem: str) -> LabelledImages:
        images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz", dims=3)
        labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", dims=1)
        return _checked(LabelledImages(images=images[:, None], labels=labels.astype(np.int64)), len(FASHION_CLASSES), folder)

    return DataSource(
        name="fashion-mnist",
        classes=FASHION_CLASSES,
        validation=5_000,
        augmentation=FASHION_AUGMENTATION,
        develop=lambda: part("train"),
        test=lambda: part("t10k"),
    )


def _fashion_mnist_from_hub() -> DataSource:
    install = "apt-get install dataset-fashion-mnist, or --data fashion-mnist:FOLDER"
    try:
        import datasets  # type: ignore[import-not-found,unused-ignore]  # optional extra "hub"
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
        validation=5_000,
        augmentation=FASHION_AUGMENTATION,
        develop=lambda: part("train"),
        test=lambda: part("test"),
    )


def _digits() -> DataSource:
    """scikit-learn's 1,797 real handwritten digits, 8x8; every fifth sample is the test set."""

    def part(*, test: bool) -> LabelledImages:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped,unused-ignore]

        raw = load_digits()
        images = np.round(raw.images * (255 / 16)).astype(np.uint8)[:, None]
        is_test = np.arange(len(images)) % 5 == 0
        chosen = np.flatnonzero(is_test if test else ~is_test)
        return LabelledImages(images=images[chosen], labels=raw.target.astype(np.int64)[chosen])

    return DataSource(
        name="digits",
        classes=tuple("0123456789"),
        validation=300,
        augmentation=DIGITS_AUGMENTATION,
        develop=lambda: part(test=False),
        test=lambda: part(test=True),
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
        raise DataError(f"data file '{path}' must be an IDX file of {dims}-dimensional bytes; its head is {data[:4].hex()}")
    shape = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))
    if len(data) - header != int(np.prod(shape)):
        raise DataError(f"data file '{path}' must hold {int(np.prod(shape))} values; it holds {len(data) - header}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _checked(samples: LabelledImages, classes: int, where: Path) -> LabelledImages:
    if len(samples) == 0 or samples.labels.min() < 0 or samples.labels.max() >= classes:
        raise DataError(f"labels in '{where}' must be 0 to {classes - 1} and not empty; the files break this")
    return samples


def stratified(labels: Labels, held: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split positions into ``held`` ones with the class shares of the whole, and the rest; both sorted."""
    rng = np.random.default_rng(SPLIT_SEED)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    picked = np.zeros(len(labels), dtype=bool)
    picked[by_class[np.linspace(0, len(labels) - 1, held).round().astype(np.int64)]] = True
    return np.flatnonzero(picked), np.flatnonzero(~picked)
