"""Image data sets of the Hugging Face hub, or a local one of its formats, through the ``datasets`` library."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from autokd_edge.core.digest import digest_of_json
from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.cache import Parts, PartsCache, default_cache
from autokd_edge.teaching.readers.decode import decode, say
from autokd_edge.teaching.readers.parts import source_of_parts
from autokd_edge.teaching.samples import DataSource, LabelledImages

_OTHERWISE = "another --data hf:NAME:CONFIG, or its images in class folders: --data imagefolder:PATH"
SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


def hub(where: str, side: int | None, *, cache: Path | None = None) -> DataSource:
    """Read ``NAME[:CONFIG]``; its first column of images and its first column of classes are used.

    Raises:
        DataError: ``datasets`` is missing, there is no such data set, or it has no images, classes or train split.
    """
    name, _, config = where.partition(":")
    splits = _load(name, config or None)
    found = {part: next((splits[s] for s in names if s in splits), None) for part, names in SPLITS.items()}
    parts_by_name = {part: rows for part, rows in found.items() if rows is not None}
    if "train" not in parts_by_name:
        raise DataError(
            f"data set '{where}' must have a split 'train'; it has {', '.join(splits)}",
            hint=_OTHERWISE,
        )
    image, label = _columns(parts_by_name["train"], where)
    classes = tuple(str(c) for c in parts_by_name["train"].features[label].names)
    kept = PartsCache(default_cache() if cache is None else cache)
    key = digest_of_json(["hf", where, side, image, label, {part: rows._fingerprint for part, rows in parts_by_name.items()}])  # noqa: SLF001  no public name
    parts = kept.find(key) or kept.keep(key, _read(parts_by_name, (image, label), classes, side, where))
    say(parts.notes)
    return source_of_parts(
        f"hf-{Path(name).name}{'-' if config else ''}{config}",
        parts.classes,
        parts.parts["train"],
        parts.parts.get("validation"),
        parts.parts.get("test"),
    )


def library() -> Any:  # noqa: ANN401  a vendor's module, whose types do not say what it exports
    """Import ``datasets``; raises ImportError."""
    return import_module("datasets")


def _load(name: str, config: str | None) -> dict[str, Any]:
    try:
        datasets = library()
    except ImportError:
        raise DataError(
            "data sets of the hub are read with 'datasets', which is not installed", hint="pip install 'autokd-edge[hub]'"
        ) from None
    datasets.disable_progress_bars()
    try:
        return dict(datasets.load_dataset(name, config))
    except Exception as error:  # the hub client raises errors of many libraries; all mean "not to be had"
        why = str(error).splitlines()[0][:200] if str(error) else ""
        raise DataError(
            f"data set '{name}' could not be read with datasets: {type(error).__name__} {why}", hint="--data hf:NAME[:CONFIG]"
        ) from error


def _columns(rows: Any, where: str) -> tuple[str, str]:  # noqa: ANN401  a vendor's table
    datasets, features = library(), rows.features
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not images or not labels:
        raise DataError(
            f"data set '{where}' must have a column of images and one of classes; its columns are {', '.join(features)}",
            hint=_OTHERWISE,
        )
    return images[0], labels[0]


def _read(parts: dict[str, Any], columns: tuple[str, str], classes: tuple[str, ...], side: int | None, where: str) -> Parts:
    image, label = columns
    files, labels, lengths = [], [], []
    for rows in parts.values():
        raw = rows.cast_column(image, library().Image(decode=False))
        files += [partial(_bytes, raw, number, image) for number in range(len(raw))]
        labels += rows[label]
        lengths.append(len(raw))
    decoded = decode(files, [f"row {number}" for number in range(len(files))], side, where)
    cuts = np.searchsorted(decoded.kept, np.cumsum(lengths)[:-1])
    images = np.split(decoded.images, cuts)
    own = np.split(np.array(labels, np.int64)[decoded.kept], cuts)
    found = {part: LabelledImages(images=i, labels=n) for part, i, n in zip(parts, images, own, strict=True)}
    return Parts(classes=classes, parts=found, notes=decoded.notes)


def _bytes(rows: Any, number: int, column: str) -> bytes:  # noqa: ANN401  a vendor's table
    cell = rows[number][column]
    if cell is None:
        raise OSError("the row has no image")
    inside: bytes | None = cell["bytes"]
    return Path(cell["path"]).read_bytes() if inside is None else inside
