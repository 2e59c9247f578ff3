"""Image folders: one subfolder a class, perhaps below ``train``, ``validation`` and ``test``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autokd_edge.core.digest import digest_of_json
from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.cache import Parts, PartsCache, default_cache
from autokd_edge.teaching.readers.decode import decode, say
from autokd_edge.teaching.readers.parts import source_of_parts
from autokd_edge.teaching.samples import DataSource, LabelledImages

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".gif", ".tif", ".tiff"}
PART_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """The image files of one part and the class of each."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]


def image_folder(path: Path, side: int | None, *, cache: Path | None = None) -> DataSource:
    """Read a folder of class folders, or of ``train`` and ``test`` with class folders; decoded images are kept in ``cache``.

    Raises:
        DataError: no such folder, fewer than two classes, an empty class, another class in another part, or unreadable images.
    """
    if not path.is_dir():
        raise DataError(f"an image folder must be a folder; '{path}' is none", hint="--data imagefolder:PATH")
    folders = _part_folders(path)
    classes = _class_folders(folders["train"])
    if len(classes) < 2:
        raise DataError(
            f"an image folder must hold at least 2 class folders; '{folders['train']}' has {len(classes)}",
            hint=f"a folder for each class: {path}/train/cat/1.png, {path}/train/dog/1.png",
        )
    listings = {part: _list(folder, classes) for part, folder in folders.items()}
    kept = PartsCache(default_cache() if cache is None else cache)
    key = digest_of_json(["imagefolder", str(path.resolve()), side, _facts(listings)])
    parts = kept.find(key) or kept.keep(key, _read(listings, classes, side, path))
    say(parts.notes)
    return source_of_parts(
        f"imagefolder-{path.resolve().name}", parts.classes, parts.parts["train"], parts.parts.get("validation"), parts.parts.get("test")
    )


def _part_folders(path: Path) -> dict[str, Path]:
    found = {part: next((path / name for name in names if (path / name).is_dir()), None) for part, names in PART_NAMES.items()}
    return {part: folder for part, folder in found.items() if folder is not None} if found["train"] is not None else {"train": path}


def _class_folders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def _list(folder: Path, classes: tuple[str, ...]) -> _Listing:
    unknown = sorted(set(_class_folders(folder)) - set(classes))
    if unknown:
        raise DataError(
            f"classes of every part must be those of the training part; '{folder}' also has '{unknown[0]}'",
            hint=f"remove '{unknown[0]}', or add it to the training part",
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        own = sorted(Path(root) / file for root, _, names in os.walk(folder / name) for file in names)
        images = [file for file in own if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
        if not images:
            kinds = ", ".join(sorted(SUFFIXES))
            raise DataError(
                f"every class folder must hold an image ({kinds}); '{folder / name}' has none",
                hint=f"put an image into '{folder / name}', or remove the folder",
            )
        files += images
        labels += [label] * len(images)
    return _Listing(files=tuple(files), labels=tuple(labels))


def _facts(listings: Mapping[str, _Listing]) -> list[list[str | int]]:
    """Return what changes when a file does: path, size and time of each."""
    facts: list[list[str | int]] = []
    for part, listing in listings.items():
        for file, label in zip(listing.files, listing.labels, strict=True):
            status = file.stat()
            facts.append([part, str(file), label, status.st_size, status.st_mtime_ns])
    return facts


def _read(listings: Mapping[str, _Listing], classes: tuple[str, ...], side: int | None, where: Path) -> Parts:
    """Decode all parts together: they get one size and one number of channels."""
    files = [file for listing in listings.values() for file in listing.files]
    labels = np.array([label for listing in listings.values() for label in listing.labels], np.int64)
    decoded = decode([file.read_bytes for file in files], [str(file) for file in files], side, str(where))
    ends = np.cumsum([len(listing.files) for listing in listings.values()])
    cuts = np.searchsorted(decoded.kept, ends[:-1])
    images = np.split(decoded.images, cuts)
    own_labels = np.split(labels[decoded.kept], cuts)
    parts = {part: LabelledImages(images=i, labels=n) for part, i, n in zip(listings, images, own_labels, strict=True)}
    return Parts(classes=classes, parts=parts, notes=decoded.notes)
