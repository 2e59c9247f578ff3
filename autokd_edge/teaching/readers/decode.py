"""Decode image files to one array of one size; what cannot be read is counted and named."""

from __future__ import annotations

import io
import logging
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from autokd_edge.errors import DataError
from autokd_edge.teaching.samples import Images

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_CORRUPT = 0.1  # share that may be skipped with a warning; beyond it the data set is not what it claims to be
_GRAY = {"1", "L", "LA"}
_WIDE = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}  # more than 8 bits a channel
_ORIENTATION, _FIRST_TURNED = 0x0112, 5  # EXIF: values from 5 swap height and width
_log = logging.getLogger(__name__)

Reader: TypeAlias = Callable[[], bytes]  # of one file, whole; raises OSError


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Images ``(k, c, h, w)`` and the positions ``(k,)`` of the files they come from; ``notes`` are warnings in words."""

    images: Images
    kept: npt.NDArray[np.int64]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    size: tuple[int, int]  # width, height as shown
    mode: str


def say(notes: Sequence[str]) -> None:
    """Log warnings about a data set."""
    for note in notes:
        _log.warning("%s", note)


def decode(files: Sequence[Reader], names: Sequence[str], side: int | None, where: str) -> Decoded:
    """Decode files in order; with ``side``, each is cut to its centre square and brought to that many pixels.

    Raises:
        DataError: Pillow is missing, images differ in size, more than a tenth is corrupt, or one has more than 8 bits a channel.
    """
    _need_pillow()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heads = list(pool.map(_head, files))
        known = [head for head in heads if head is not None]
        _check_heads(known, heads, names, where)
        size = (side, side) if side is not None else _one_size([head.size for head in known], where)
        mode = "L" if all(head.mode in _GRAY for head in known) else "RGB"
        readable = [number for number, head in enumerate(heads) if head is not None]
        channels = 1 if mode == "L" else 3
        images = np.empty((len(readable), channels, size[1], size[0]), np.uint8)

        def fill(place: int) -> bool:
            pixels = _pixels(files[readable[place]], mode, size)
            if pixels is None:
                return False
            images[place] = pixels
            return True

        good = np.fromiter(pool.map(fill, range(len(readable))), bool, len(readable))
    kept = np.array(readable, np.int64)[good]
    notes = _notes(heads, kept, names, mode, where)
    return Decoded(images=images if good.all() else images[good], kept=kept, notes=notes)


def _need_pillow() -> None:
    try:
        import PIL.Image
    except ImportError:
        raise DataError("image files are read with Pillow, which is not installed", hint="pip install 'autokd-edge[images]'") from None
    assert PIL.Image, "imported to see that it is there"  # noqa: S101


def _open(file: Reader) -> Image:
    from PIL import Image

    return Image.open(io.BytesIO(file()))


def _broken() -> tuple[type[Exception], ...]:
    from PIL import Image

    return (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def _head(file: Reader) -> _Head | None:
    try:
        with _open(file) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
            return _Head(size=image.size[::-1] if turned else image.size, mode=image.mode)
    except _broken():
        return None


def _pixels(file: Reader, mode: str, size: tuple[int, int]) -> Images | None:
    """Return one image ``(c, h, w)``, or None where the file is damaged."""
    from PIL import Image, ImageOps

    try:
        with _open(file) as opened:
            if mode == opened.mode == "RGB":
                opened.draft(mode, (2 * size[0], 2 * size[1]))  # JPEG alone: decodes at a half or a quarter where that is enough
            image = ImageOps.exif_transpose(opened)
            if image.mode == "P":
                image = image.convert("RGBA")  # a palette may hold transparent colours
            image = image.convert(mode)
            if image.size != size:
                image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
            pixels = np.asarray(image, np.uint8)
    except _broken():
        return None
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _check_heads(known: list[_Head], heads: list[_Head | None], names: Sequence[str], where: str) -> None:
    wide = [name for head, name in zip(heads, names, strict=True) if head is not None and head.mode in _WIDE]
    if wide:
        raise DataError(
            f"images in '{where}' must have 8 bits a channel; {len(wide)} have more, '{wide[0]}' for one", hint="save them with 8 bits"
        )
    if not known:
        raise DataError(
            f"images in '{where}' must be readable; none of {len(heads)} is, '{names[0] if names else ''}' for one",
            hint="give a folder or column of PNG, JPEG or BMP images",
        )


def _one_size(sizes: list[tuple[int, int]], where: str) -> tuple[int, int]:
    found = sorted(set(sizes))
    if len(found) > 1:
        small, large = ("x".join(map(str, size)) for size in (found[0], found[-1]))
        raise DataError(
            f"images in '{where}' must be of one size where none is asked for; they are of {len(found)}, from {small} to {large}",
            hint="--image-size 64",
        )
    return found[0]


def _notes(heads: list[_Head | None], kept: npt.NDArray[np.int64], names: Sequence[str], mode: str, where: str) -> tuple[str, ...]:
    notes = []
    missing = sorted(set(range(len(heads))) - set(kept.tolist()))
    if missing:
        said = f"{len(missing)} of {len(heads)} images in '{where}' are corrupt, '{names[missing[0]]}' for one"
        if len(missing) > MOST_CORRUPT * len(heads):
            raise DataError(f"at most {MOST_CORRUPT:.0%} of the images may be corrupt; {said}", hint="replace or remove these images")
        notes.append(f"{said}; they are left out")
    gray = sum(head.mode in _GRAY for head in heads if head is not None)
    if mode == "RGB" and gray:
        notes.append(f"{gray} of {len(heads)} images in '{where}' are grayscale among colour; they are read as colour")
    return tuple(notes)
