"""Make a data source of the parts that a data set comes with; what is missing is held out of the training part."""

from __future__ import annotations

import re

from autokd_edge.errors import DataError
from autokd_edge.teaching.augment import DEFAULT_PRESETS
from autokd_edge.teaching.samples import DataSource, LabelledImages, check_labels, stratified

HELD_SHARE = 0.1  # of the training part, for validation, and again for the test set where there is none
MOST_HELD = 5_000  # a validation accuracy is then known to about 0.3 points


def source_of_parts(
    name: str, classes: tuple[str, ...], train: LabelledImages, validation: LabelledImages | None, test: LabelledImages | None
) -> DataSource:
    """Return a source whose samples are in memory; raises DataError where parts do not fit together."""
    for part, what in ((train, "training"), (validation, "validation"), (test, "test")):
        if part is not None:
            check_labels(part, classes, f"{name}, {what} part")
            if part.images.shape[1:] != train.images.shape[1:]:
                raise DataError(
                    f"the parts of data set '{name}' must have one image shape; the training part has {train.images.shape[1:]}, "
                    f"the {what} part {part.images.shape[1:]}",
                    hint="--image-size 64",
                )
    if test is None:
        held, kept = stratified(train.labels, _held(len(train)))
        train, test = train.take(kept), train.take(held)
    developed, tested = train, test  # names that are not None to a type checker inside the closures
    return DataSource(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", name),
        classes=classes,
        validation=_held(len(train)),
        augmentation=DEFAULT_PRESETS,
        develop=lambda: developed,
        test=lambda: tested,
        given=None if validation is None else lambda: validation,
    )


def _held(samples: int) -> int:
    return max(1, min(MOST_HELD, round(HELD_SHARE * samples)))
