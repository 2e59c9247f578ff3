"""Decoded images on disk, by what they were read from, so that a second reading decodes nothing."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autokd_edge.core.digest import Digest
from autokd_edge.errors import DataError
from autokd_edge.teaching.samples import LabelledImages

FORMAT = 1  # of the folders; older ones are not found again
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a data set by name ("train", "validation", "test"), its classes and the warnings of its reading."""

    classes: tuple[str, ...]
    parts: Mapping[str, LabelledImages]
    notes: tuple[str, ...]


def default_cache() -> Path:
    """Where this user's decoded images lie on this machine."""
    return Path.home() / ".cache" / "autokd-edge" / "images"


class PartsCache:
    """One folder a data set: the images as .npy, mapped into memory when read, and ``facts.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: Digest) -> Parts | None:
        """Return the parts kept under a key; None where they are not there or not whole."""
        place = self._folder / key
        try:
            facts = json.loads((place / "facts.json").read_text())
            if facts["format"] != FORMAT:
                return None
            parts = {
                name: LabelledImages(
                    # Copy on write: the file cannot change, and torch warns of arrays that cannot be written.
                    images=np.load(place / f"{name}.images.npy", mmap_mode="c", allow_pickle=False),
                    labels=np.load(place / f"{name}.labels.npy", allow_pickle=False),
                )
                for name in facts["parts"]
            }
            return Parts(classes=tuple(facts["classes"]), parts=parts, notes=tuple(facts["notes"]))
        except (OSError, ValueError, KeyError, TypeError, DataError):
            return None

    def keep(self, key: Digest, parts: Parts) -> Parts:
        """Write the parts by one rename and return them, from the disk where there was room for them."""
        place = self._folder / key
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            begun = Path(tempfile.mkdtemp(prefix=".begun-", dir=self._folder))
        except OSError as error:
            _log.warning("decoded images cannot be kept in '%s' (%s); the next run decodes them again", self._folder, error.strerror)
            return parts
        try:
            for name, samples in parts.parts.items():
                np.save(begun / f"{name}.images.npy", samples.images)
                np.save(begun / f"{name}.labels.npy", samples.labels)
            facts = {"format": FORMAT, "classes": parts.classes, "notes": parts.notes, "parts": list(parts.parts)}
            (begun / "facts.json").write_text(json.dumps(facts))
            shutil.rmtree(place, ignore_errors=True)  # one that was not whole
            begun.rename(place)
        except OSError as error:
            _log.warning("decoded images cannot be kept in '%s' (%s); the next run decodes them again", self._folder, error.strerror)
        finally:
            shutil.rmtree(begun, ignore_errors=True)
        return self.find(key) or parts
