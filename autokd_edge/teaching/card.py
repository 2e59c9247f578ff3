"""What a teacher's owner says of it in FILE.card.json: its classes, and how it reads images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autokd_edge.core.codec import CodecError, decode
from autokd_edge.errors import TeacherError
from autokd_edge.teaching.bridge import Interpolation, Reads, reads_of
from autokd_edge.teaching.samples import TeachingData

_OTHER = "--teacher none, or one that was taught these classes"
_LIKE = 'write the card like {"image": [3, 224, 224], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is said; ``mean`` and ``std`` in units of pixel / 255, ``image`` as ``(c, h, w)``. What is not said is as the data has it.

    ``before_crop`` is ``(h, w)`` of what ``image`` is the centre of; where it is not said, the image is whole. Images of
    another size are resized by ``interpolation``: "bilinear" where it is not said, "bicubic" or "nearest".
    """

    classes: tuple[str, ...] | None = None
    image: tuple[int, int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    before_crop: tuple[int, int] | None = None
    interpolation: Interpolation | None = None

    def reads(self, data: TeachingData, name: str) -> Reads:
        """Return how the teacher reads images; raises TeacherError where its numbers contradict one another."""
        reads = reads_of(data)
        channels = reads.image[0] if self.image is None else self.image[0]
        wide = [v * channels if len(v) == 1 else v for v in (reads.mean, reads.std)]
        try:
            return Reads(
                image=self.image or reads.image,
                mean=self.mean or wide[0],
                std=self.std or wide[1],
                before_crop=self.before_crop,
                interpolation=self.interpolation or "bilinear",
            )
        except ValueError as error:
            raise TeacherError(f"the card of teacher '{name}' must be about one kind of images: {error}", hint=_LIKE) from error

    def or_else(self, other: Card) -> Card:
        """Return this card with what it leaves open taken from another."""
        return replace(
            self,
            classes=self.classes or other.classes,
            image=self.image or other.image,
            mean=self.mean or other.mean,
            std=self.std or other.std,
            before_crop=self.before_crop or other.before_crop,
            interpolation=self.interpolation or other.interpolation,
        )


def card_beside(path: Path) -> Card:
    """Read ``FILE.card.json`` beside a teacher's file; an empty card where there is none.

    Raises:
        TeacherError: the card is no JSON or says something unknown.
    """
    place = path.with_suffix(".card.json")
    if not place.is_file():
        return Card()
    try:
        return decode(Card, json.loads(place.read_text()))
    except (OSError, ValueError, CodecError) as error:
        raise TeacherError(
            f"teacher card '{place}' must hold classes, image, mean, std, before_crop or interpolation: {error}",
            hint=_LIKE,
        ) from error


def interpolation_of(name: str) -> Interpolation:
    """Return the interpolation of ours that a library's name means; Lanczos' is nearest to the bicubic one."""
    known: Mapping[str, Interpolation] = {"nearest": "nearest", "nearest-exact": "nearest", "bicubic": "bicubic", "lanczos": "bicubic"}
    return known.get(name, "bilinear")


def says_image(stem: str) -> str:
    """Return the hint for a teacher that does not run on what it is given: the card beside ``stem`` says what it reads."""
    return f'say what it reads in {stem}.card.json beside it: {{"image": [3, 224, 224]}}'


def check_classes(name: str, known: tuple[str, ...] | None, count: int, data: TeachingData) -> None:
    """Refuse a teacher of other classes than the data's; where it names none, their number decides. Raises TeacherError."""
    if known is not None and known != data.classes:
        raise TeacherError(
            f"teacher and data must have the same classes; '{name}' knows {_listed(known)}, '{data.name}' has {_listed(data.classes)}",
            hint=_OTHER,
        )
    if count != len(data.classes):
        raise TeacherError(
            f"teacher and data must have the same classes; '{name}' gives {count} logits, '{data.name}' has {_listed(data.classes)}",
            hint=_OTHER,
        )


def _listed(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:3])
    return f"{len(classes)} classes ({shown}{', ...' if len(classes) > 3 else ''})"
