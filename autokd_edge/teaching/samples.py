"""Labelled image sets as arrays in memory, and the three-way split that keeps the test set apart.

The test set is behind its own call: what searches gets a ``TeachingData`` and cannot reach it.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autokd_edge.core.digest import Digest
from autokd_edge.errors import DataError
from autokd_edge.teaching.augment import AugmentPlan, plan_of

Images = npt.NDArray[np.uint8]  # (n, c, h, w)
Labels = npt.NDArray[np.int64]  # (n,)
SPLIT_SEED = 20211105  # the day of arXiv 2111.03555; any constant serves, but it must never change
_CHUNK = 1024  # images at a time where a statistic is computed: their wide copies stay small
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """Images ``(n, c, h, w)`` uint8 and their labels ``(n,)``."""

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or len(self.images) != len(self.labels):
            raise DataError(
                f"images must be uint8 (n, c, h, w) with n labels; got {self.images.shape} and {self.labels.shape}",
                hint="write the data again with one label for each image",
            )

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
    """A data set that can be loaded: its development part and, apart from it, its test part.

    ``validation`` is the number of samples held out of the development part, unless the data set
    comes with a validation part of its own (``given``). ``augmentation`` is a plan, or the names of
    presets that become a plan once the image size is known.
    """

    name: str
    classes: tuple[str, ...]
    validation: int
    augmentation: AugmentPlan | tuple[str, ...]
    develop: Callable[[], LabelledImages]
    test: Callable[[], LabelledImages]
    given: Callable[[], LabelledImages] | None = None

    def teaching(self) -> TeachingData:
        """Load the development part and split it, stratified by class, by a fixed seed.

        Raises:
            DataError: too few samples, fewer than two classes, a class without a sample to train on, or a label out of range.
        """
        samples = self.develop()
        train, validation = self._split(samples)
        plan = plan_of(self.augmentation, train.images.shape[1:], len(train))
        digest = hashlib.sha256(np.ascontiguousarray(samples.images).data)
        digest.update(samples.labels.tobytes())
        if self.given is not None:
            digest.update(np.ascontiguousarray(validation.images).data)
            digest.update(validation.labels.tobytes())
        digest.update(f"{self.name}/{len(validation)}/{SPLIT_SEED}/{plan}".encode())
        mean, std = _moments(train.images, self.name)
        return TeachingData(
            name=self.name,
            classes=self.classes,
            train=train,
            validation=validation,
            mean=mean,
            std=std,
            augmentation=plan,
            digest=Digest(digest.hexdigest()),
        )

    def _split(self, samples: LabelledImages) -> tuple[LabelledImages, LabelledImages]:
        check_labels(samples, self.classes, self.name)
        if self.given is not None:
            train, validation = samples, self.given()
            check_labels(validation, self.classes, f"{self.name}, validation part")
            if validation.images.shape[1:] != train.images.shape[1:]:
                raise DataError(f"the parts of data set '{self.name}' must have one image shape; they differ", hint="--image-size 64")
        else:
            if len(samples) <= self.validation:
                raise DataError(
                    f"data set '{self.name}' must have more than the {self.validation} samples held out; it has {len(samples)}",
                    hint=f"give it {self.validation + 1} training images or more",
                )
            held, kept = stratified(samples.labels, self.validation)
            train, validation = samples.take(kept), samples.take(held)
        counts = np.bincount(train.labels, minlength=len(self.classes))
        if counts.min() == 0:
            empty = self.classes[int(counts.argmin())]
            raise DataError(
                f"every class of data set '{self.name}' must have an image to train on; '{empty}' has none",
                hint=f"add images of '{empty}', or leave the class out and number the others from 0 without a gap",
            )
        return train, validation

    def warn_of_leaks(self, data: TeachingData) -> int:
        """Count the test images whose very pixels are also taught or validated with, and say so; nothing else of the test set is used.

        Raises:
            DataError: more than half of the test set leaks, so that its accuracy would mean nothing; or it cannot be read.
        """
        test = self.test()
        count = leaked((data.train.images, data.validation.images), test.images)
        if 2 * count > len(test):
            raise DataError(
                f"test images must not be among the training images; {count} of {len(test)} of data set '{data.name}' are",
                hint="give the test split images of its own",
            )
        if count:
            _log.warning("data set '%s': %d of %d test images are also among the training images", data.name, count, len(test))
        return count


def check_labels(samples: LabelledImages, classes: tuple[str, ...], where: object) -> LabelledImages:
    """Return the samples; raises DataError where there are none, fewer than two classes, or a label that is no class."""
    if len(classes) < 2:
        raise DataError(
            f"data set '{where}' must have at least 2 classes; it has {len(classes)}", hint="add a second class, or give another --data"
        )
    wrong = int(((samples.labels < 0) | (samples.labels >= len(classes))).sum())
    if len(samples) == 0 or wrong:
        got = f"{wrong} of {len(samples)} are not, {_first_wrong(samples.labels, len(classes))} for one" if wrong else "there are none"
        raise DataError(
            f"labels in '{where}' must be 0 to {len(classes) - 1} and not empty; {got}",
            hint="numpy.unique(labels, return_inverse=True)[1] numbers classes from 0",
        )
    return samples


def _first_wrong(labels: Labels, classes: int) -> int:
    return int(labels[(labels < 0) | (labels >= classes)][0])


def leaked(known: tuple[Images, ...], test: Images) -> int:
    """Count the images of ``test`` that are also in one of ``known``, byte for byte."""
    wanted: dict[int, set[bytes]] = {}
    for image in test:
        data = image.tobytes()
        wanted.setdefault(zlib.crc32(data), set()).add(data)
    found = {data for images in known for image in images for data in (image.tobytes(),) if data in wanted.get(zlib.crc32(data), ())}
    return sum(image.tobytes() in found for image in test) if found else 0


def stratified(labels: Labels, held: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split positions into ``held`` ones with the class shares of the whole, and the rest; both sorted."""
    rng = np.random.default_rng(SPLIT_SEED)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    picked = np.zeros(len(labels), dtype=bool)
    picked[by_class[np.linspace(0, len(labels) - 1, held).round().astype(np.int64)]] = True
    return np.flatnonzero(picked), np.flatnonzero(~picked)


def _moments(images: Images, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation by channel, in units of pixel / 255, from exact counts of the 256 levels."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for first in range(0, len(images), _CHUNK):
        for channel in range(images.shape[1]):
            counts[channel] += np.bincount(images[first : first + _CHUNK, channel].reshape(-1), minlength=256)
    levels, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = (counts @ levels) / total
    std = np.sqrt(((levels[None] - mean[:, None]) ** 2 * counts).sum(axis=1) / total)
    levels_used = (counts > 0).sum(axis=1)
    if levels_used.min() == 1:
        raise DataError(
            f"the pixels of data set '{name}' must vary in every channel; those of channel {int(levels_used.argmin())} are all equal",
            hint="where they were floats, (255 * images).round().astype('uint8')",
        )
    return tuple(float(m) for m in mean), tuple(float(s) for s in std)
