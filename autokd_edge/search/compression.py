"""Accuracies on a scale where what is far below the others does not crush the differences between good ones."""

from __future__ import annotations

import numpy as np

from autokd_edge.search.encode import Rows


def compressed(y: Rows, *, among: Rows | None = None) -> Rows:
    """Measure accuracies ``(n,)`` from their median (or that of others) in robust deviations, and the low side by log(1 + distance).

    A network that hardly learns says nothing of the differences between good ones, but it would
    stretch the scale until they vanish. The order is kept. 1.4826 makes the median absolute deviation
    a standard deviation where errors are normal.
    """
    middle, deviation = _centre(y if among is None else among)
    return below_compressed((y - middle) / deviation)


def uncompressed(z: Rows, y: Rows) -> Rows:
    """Return the accuracies that ``compressed`` maps to ``z (m,)`` when it is given ``y (n,)``."""
    middle, deviation = _centre(y)
    return middle + deviation * np.where(z < 0, -np.expm1(np.maximum(-z, 0.0)), z)


def _centre(y: Rows) -> tuple[float, float]:
    """Return the median and the robust standard deviation; 1 where most are equal."""
    middle = float(np.median(y))
    return middle, 1.4826 * float(np.median(np.abs(y - middle))) or 1.0


def below_compressed(y: Rows) -> Rows:
    """Replace what is below 0 by -log(1 - y): the sign and the order are kept, depth counts less and less."""
    return np.where(y < 0, -np.log1p(np.maximum(-y, 0.0)), y)
