"""Data sets by the name that people give them on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autokd_edge.errors import DataError
from autokd_edge.teaching.augment import PRESETS
from autokd_edge.teaching.readers.cifar import cifar
from autokd_edge.teaching.readers.digits import digits
from autokd_edge.teaching.readers.folder import image_folder
from autokd_edge.teaching.readers.hub import hub
from autokd_edge.teaching.readers.idx import fashion_mnist
from autokd_edge.teaching.readers.npz import npz_file
from autokd_edge.teaching.resize import resized
from autokd_edge.teaching.samples import DataSource, LabelledImages

KINDS = (
    "digits",
    "fashion-mnist",
    "fashion-mnist:FOLDER",
    "imagefolder:PATH",
    "hf:NAME[:CONFIG]",
    "cifar10:PATH",
    "cifar100:PATH",
    "npz:FILE",
)
IMAGE_SIZES = (8, 512)  # pixels a side: below, no stage can halve; above, a batch outgrows the memory


def data_source(name: str, *, image_size: int | None = None, augment: str | None = None) -> DataSource:
    """Find a data set by the name on the command line, one of ``KINDS``.

    Args:
        name: the kind and, after a colon, where it is.
        image_size: pixels of a side to which every image is brought, cut to a square from its centre.
        augment: ``none``, or names of ``augment.PRESETS`` with commas; by default what suits the data set.

    Raises:
        DataError: the name, the size or a preset is unknown, or the data cannot be read.
    """
    if image_size is not None and not IMAGE_SIZES[0] <= image_size <= IMAGE_SIZES[1]:
        raise DataError(f"image size must be {IMAGE_SIZES[0]} to {IMAGE_SIZES[1]} pixels; got {image_size}", hint="--image-size 64")
    presets = None if augment is None else _presets(augment)
    source = _source(name, image_size)
    if image_size is not None:
        source = _at_size(source, image_size)
    return source if presets is None else replace(source, augmentation=presets)


def _source(name: str, image_size: int | None) -> DataSource:
    kind, _, where = name.partition(":")
    match kind, bool(where):
        case "digits", False:
            return digits()
        case "fashion-mnist", _:
            return fashion_mnist(Path(where) if where else None)
        case "imagefolder", True:
            return image_folder(Path(where), image_size)
        case "hf", True:
            return hub(where, image_size)
        case (("cifar10" | "cifar100"), True):
            return cifar(Path(where), classes=int(kind.removeprefix("cifar")))
        case "npz", True:
            return npz_file(Path(where))
    raise DataError(f"data set must be one of {', '.join(KINDS)}; got '{name}'", hint="--data fashion-mnist")


def _at_size(source: DataSource, side: int) -> DataSource:
    def brought(samples: LabelledImages) -> LabelledImages:
        return LabelledImages(images=resized(samples.images, side), labels=samples.labels)

    given = source.given
    return replace(
        source,
        develop=lambda: brought(source.develop()),
        test=lambda: brought(source.test()),
        given=None if given is None else lambda: brought(given()),
    )


def _presets(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in PRESETS]
    if unknown:
        raise DataError(f"augmentation must be none or some of {', '.join(PRESETS)}; got '{unknown[0]}'", hint="--augment crop,flip")
    return names
