"""Bring images in memory to one square size."""

from __future__ import annotations

import numpy as np
import torch

from autokd_edge.teaching.samples import Images

_CHUNK = 512  # images at a time: their float copies stay small


def resized(images: Images, side: int) -> Images:
    """Cut ``(n, c, h, w)`` to the centre square and bring it to ``(n, c, side, side)``, bilinear with antialiasing."""
    _, channels, height, width = images.shape
    if (height, width) == (side, side):
        return images
    square = min(height, width)
    top, left = (height - square) // 2, (width - square) // 2
    out = np.empty((len(images), channels, side, side), np.uint8)
    for first in range(0, len(images), _CHUNK):
        part = torch.from_numpy(images[first : first + _CHUNK, :, top : top + square, left : left + square].astype(np.float32))
        scaled = torch.nn.functional.interpolate(part, size=(side, side), mode="bilinear", antialias=True)
        out[first : first + _CHUNK] = scaled.round().clamp(0, 255).to(torch.uint8).numpy()
    return out
