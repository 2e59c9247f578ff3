"""Augmentation as a function of (sample, epoch modulo K, seed), so that cached teacher logits are exact.

Notation: n samples, b batch, (c, h, w) image, K variants. All random choices of one variant are drawn
at once for the whole training set; a batch looks its own up by sample number.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentPlan:
    """How images are varied; ``variants`` is K, the number of different epochs before they repeat.

    ``shift`` in pixels to each side; ``cutout`` is the side of a square set to the mean, 0 for none.
    """

    shift: int
    flip: bool
    cutout: int
    variants: int


NO_AUGMENTATION = AugmentPlan(shift=0, flip=False, cutout=0, variants=1)


class Augmenter:
    """Turns raw uint8 images into normalised float tensors, varied by the plan."""

    def __init__(
        self, plan: AugmentPlan, *, samples: int, seed: int, image: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        self.plan = plan
        self._samples = samples
        self._seed = seed
        self._image = image
        self._scale = (1.0 / (255 * torch.tensor(std))).view(1, -1, 1, 1)
        self._offset = (torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1)
        self._drawn: tuple[int, Tensor] | None = None

    def plain(self, images: Tensor) -> Tensor:
        """Normalise only: uint8 ``(b, c, h, w)`` to float32 of the same shape."""
        return images.float() * self._scale - self._offset

    def varied(self, images: Tensor, index: Tensor, epoch: int) -> Tensor:
        """Vary and normalise a batch.

        Args:
            images: uint8 ``(b, c, h, w)``.
            index: sample numbers ``(b,)``; with the epoch and the seed they decide every choice.
            epoch: from 0; taken modulo K.
        """
        draws = self._draws(epoch % self.plan.variants)[index]  # (b, 5): dy, dx, flip, cut y, cut x
        _, height, width = self._image
        values = self.plain(images)
        values = _moved(values, draws[:, 0], draws[:, 1], draws[:, 2], self.plan.shift)
        if self.plan.cutout:
            rows, cols = torch.arange(height), torch.arange(width)
            half = self.plan.cutout / 2
            in_rows = (rows[None] - draws[:, 3, None]).abs() < half  # (b, h)
            in_cols = (cols[None] - draws[:, 4, None]).abs() < half  # (b, w)
            values = values.masked_fill((in_rows[:, :, None] & in_cols[:, None, :])[:, None], 0.0)
        return values

    def _draws(self, variant: int) -> Tensor:
        if self._drawn is None or self._drawn[0] != variant:
            generator = torch.Generator().manual_seed((self._seed << 16) + variant)
            _, height, width = self._image
            shift = self.plan.shift
            bounds = ((-shift, shift + 1), (-shift, shift + 1), (0, 2 if self.plan.flip else 1), (0, height), (0, width))
            columns = [torch.randint(low, high, (self._samples,), generator=generator) for low, high in bounds]
            self._drawn = (variant, torch.stack(columns, dim=1))
        return self._drawn[1]


def _moved(values: Tensor, dy: Tensor, dx: Tensor, flip: Tensor, shift: int) -> Tensor:
    """Shift each image by (dy, dx), filling with its own border value, and mirror where ``flip``."""
    batch, _, height, width = values.shape
    if shift:
        values = torch.nn.functional.pad(values, (shift,) * 4, mode="replicate")
    rows = torch.arange(height)[None] + (dy + shift)[:, None]  # (b, h)
    cols = torch.arange(width)[None].expand(batch, width)
    cols = torch.where(flip[:, None] == 1, width - 1 - cols, cols) + (dx + shift)[:, None]  # (b, w)
    picked = values[torch.arange(batch)[:, None, None], :, rows[:, :, None], cols[:, None, :]]  # (b, h, w, c)
    return picked.permute(0, 3, 1, 2)
