"""Augmentation as a function of (sample, variant, seed), so that cached teacher logits are exact.

Notation: n samples, b batch, (c, h, w) image, K variants, which a lesson sees in turn: epoch modulo K. All random
choices of one variant are drawn at once for the whole training set; a batch looks its own up by sample number.

References: cutout, DeVries and Taylor, 2017, arXiv 1708.04552; random erasing, Zhong et al., 2017,
arXiv 1708.04896; mixup, Zhang et al., 2017, arXiv 1710.09412.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

ERASED_AREA = (0.02, 0.4)  # shares of the image, and the sides' ratios below: those of Zhong et al.
ERASED_RATIO = (0.3, 1 / 0.3)
MANY_SAMPLES = 20_000  # from here two variants; each costs a pass of the teacher over the data


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentPlan:
    """How images are varied; ``variants`` is K at least, the number of different epochs before they repeat.

    ``shift`` in pixels to each side; ``cutout`` is the side of a square set to the mean, 0 for none;
    ``erase`` the probability of a rectangle set to the mean; ``mixup`` the parameter of the Beta law of
    the shares in which two images are mixed, 0 for none.
    """

    shift: int
    flip: bool
    cutout: int
    variants: int
    erase: float = 0.0
    mixup: float = 0.0


NO_AUGMENTATION = AugmentPlan(shift=0, flip=False, cutout=0, variants=1)
Preset: TypeAlias = Callable[[AugmentPlan, int], AugmentPlan]
# Each preset for an image of ``side`` pixels: the usual sizes of CIFAR's 32, in proportion.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "crop": lambda plan, side: replace(plan, shift=max(1, round(side / 8))),
        "flip": lambda plan, side: replace(plan, flip=True),  # noqa: ARG005  one signature for all presets
        "cutout": lambda plan, side: replace(plan, cutout=max(2, round(side / 4))),
        "erase": lambda plan, side: replace(plan, erase=0.5),  # noqa: ARG005
        "mixup": lambda plan, side: replace(plan, mixup=0.2),  # noqa: ARG005
    }
)
DEFAULT_PRESETS = ("crop", "flip")


def plan_of(wanted: AugmentPlan | tuple[str, ...], image: tuple[int, ...], samples: int) -> AugmentPlan:
    """Return a plan as it is, or the plan of some presets for images ``(c, h, w)``."""
    if isinstance(wanted, AugmentPlan):
        return wanted
    plan = NO_AUGMENTATION
    for name in wanted:
        plan = PRESETS[name](plan, min(image[1:]))
    return plan if plan == NO_AUGMENTATION else replace(plan, variants=2 if samples >= MANY_SAMPLES else 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draws:
    """The choices of one variant for all n samples."""

    moves: Tensor  # (n, 5) dy, dx, flip, cut y, cut x
    boxes: Tensor | None  # (n, 4) top, left, height, width to erase; height 0 for none
    partners: Tensor | None  # (n,) with whom an image is mixed
    shares: Tensor | None  # (n,) its own share, at least a half


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
        self._drawn: tuple[int, _Draws] | None = None

    def plain(self, images: Tensor) -> Tensor:
        """Normalise only: uint8 ``(b, c, h, w)`` to float32 of the same shape."""
        return images.float() * self._scale - self._offset

    def varied(self, images: Tensor, index: Tensor, variant: int) -> Tensor:
        """Vary and normalise a batch; mixing, which needs the partners' images too, is the caller's.

        Args:
            images: uint8 ``(b, c, h, w)``.
            index: sample numbers ``(b,)``; with the variant and the seed they decide every choice.
            variant: from 0.
        """
        draws = self._draws(variant)
        moves = draws.moves[index]
        _, height, width = self._image
        values = _moved(self.plain(images), moves[:, 0], moves[:, 1], moves[:, 2], self.plan.shift)
        rows, cols = torch.arange(height), torch.arange(width)
        if self.plan.cutout:
            half = self.plan.cutout / 2
            in_rows = (rows[None] - moves[:, 3, None]).abs() < half  # (b, h)
            in_cols = (cols[None] - moves[:, 4, None]).abs() < half  # (b, w)
            values = values.masked_fill((in_rows[:, :, None] & in_cols[:, None, :])[:, None], 0.0)
        if draws.boxes is not None:
            top, left, high, wide = draws.boxes[index].unsqueeze(2).unbind(1)  # each (b, 1)
            in_rows, in_cols = (rows >= top) & (rows < top + high), (cols >= left) & (cols < left + wide)
            values = values.masked_fill((in_rows[:, :, None] & in_cols[:, None, :])[:, None], 0.0)
        return values

    def partners(self, index: Tensor, variant: int) -> tuple[Tensor, Tensor] | None:
        """Return with whom samples ``(b,)`` are mixed, sample numbers ``(b,)``, and their own shares ``(b,)``; None without mixup."""
        draws = self._draws(variant)
        return None if draws.partners is None or draws.shares is None else (draws.partners[index], draws.shares[index])

    def _draws(self, variant: int) -> _Draws:
        if self._drawn is None or self._drawn[0] != variant:
            generator = torch.Generator().manual_seed((self._seed << 16) + variant)
            _, height, width = self._image
            shift = self.plan.shift
            bounds = ((-shift, shift + 1), (-shift, shift + 1), (0, 2 if self.plan.flip else 1), (0, height), (0, width))
            columns = [torch.randint(low, high, (self._samples,), generator=generator) for low, high in bounds]
            boxes = self._boxes(generator) if self.plan.erase else None
            partners, shares = self._mixes(generator) if self.plan.mixup else (None, None)
            self._drawn = (variant, _Draws(moves=torch.stack(columns, dim=1), boxes=boxes, partners=partners, shares=shares))
        return self._drawn[1]

    def _boxes(self, generator: torch.Generator) -> Tensor:
        """Draw a rectangle inside each image ``(n, 4)``; of height 0 where none is erased."""
        _, height, width = self._image
        chance, area, ratio, y, x = torch.rand(5, self._samples, generator=generator)
        area = (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
        low, high = math.log(ERASED_RATIO[0]), math.log(ERASED_RATIO[1])
        ratio = (low + ratio * (high - low)).exp()
        tall = (area * ratio).sqrt().round().clamp(1, height) * (chance < self.plan.erase)
        wide = (area / ratio).sqrt().round().clamp(1, width)
        return torch.stack([(y * (height - tall + 1)).floor(), (x * (width - wide + 1)).floor(), tall, wide], dim=1).long()

    def _mixes(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw partners and shares ``(n,)``; Beta(a, a) as a ratio of Gamma draws, by which torch has a generator."""
        partners = torch.randperm(self._samples, generator=generator)
        gammas = torch._standard_gamma(torch.full((2, self._samples), self.plan.mixup), generator=generator).clamp_min(1e-30)  # noqa: SLF001  no public name takes a generator
        shares = gammas[0] / gammas.sum(dim=0)
        return partners, torch.maximum(shares, 1 - shares)


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
