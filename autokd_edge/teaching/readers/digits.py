"""scikit-learn's 1,797 real handwritten digits, 8x8; every fifth sample is the test set."""

from __future__ import annotations

import numpy as np

from autokd_edge.teaching.augment import AugmentPlan
from autokd_edge.teaching.samples import DataSource, LabelledImages

DIGITS_AUGMENTATION = AugmentPlan(shift=1, flip=False, cutout=0, variants=4)


def digits() -> DataSource:
    """Return the digits that come inside scikit-learn."""
    return DataSource(
        name="digits",
        classes=tuple("0123456789"),
        validation=300,
        augmentation=DIGITS_AUGMENTATION,
        develop=lambda: _part(test=False),
        test=lambda: _part(test=True),
    )


def _part(*, test: bool) -> LabelledImages:
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = np.round(raw.images * (255 / 16)).astype(np.uint8)[:, None]
    is_test = np.arange(len(images)) % 5 == 0
    chosen = np.flatnonzero(is_test if test else ~is_test)
    return LabelledImages(images=images[chosen], labels=raw.target.astype(np.int64)[chosen])
