"""The batches of a study: raw pixels in memory, varied one batch at a time, the same for every student."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autokd_edge.teaching.augment import Augmenter
from autokd_edge.teaching.samples import TeachingData

BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One step's samples; ``labels`` are class numbers ``(b,)``, or shares ``(b, classes)`` where images are mixed."""

    variant: int
    index: Tensor  # (b,) sample numbers
    images: Tensor  # (b, c, h, w) float32, varied and normalised
    labels: Tensor


class TrainingBatches:
    """Draws batches of the training split by the study's seed and the step alone."""

    def __init__(self, data: TeachingData, *, seed: int) -> None:
        self.augment = Augmenter(data.augmentation, samples=len(data.train), seed=seed, image=data.image, mean=data.mean, std=data.std)
        self.samples = len(data.train)
        self._classes = len(data.classes)
        self._seed = seed
        self._images = torch.from_numpy(np.ascontiguousarray(data.train.images))
        self._labels = torch.from_numpy(data.train.labels)
        self._order: tuple[int, Tensor] | None = None

    def at(self, step: int, variants: int | None = None) -> Batch:
        """Return the batch of a step, from 0; images repeat after so many epochs, by default the plan's."""
        epoch, index = self.place(step)
        variant = epoch % (variants or self.augment.plan.variants)
        images, labels = self.augment.varied(self._images[index], index, variant), self._labels[index]
        mixed = self.augment.partners(index, variant)
        if mixed is not None:
            other, share = mixed
            own = share[:, None]
            images = own[..., None, None] * images + (1 - own[..., None, None]) * self.augment.varied(self._images[other], other, variant)
            labels = own * self._one_hot(labels) + (1 - own) * self._one_hot(self._labels[other])
        return Batch(variant=variant, index=index, images=images, labels=labels)

    def epochs(self, steps: int) -> float:
        """Return how often so many steps see each sample."""
        return steps * min(BATCH, self.samples) / self.samples

    def place(self, step: int) -> tuple[int, Tensor]:
        """Return the epoch and the sample numbers ``(b,)`` of a step."""
        size = min(BATCH, self.samples)
        epoch, position = divmod(step, self.samples // size)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed((self._seed << 16) + epoch)
            self._order = (epoch, torch.randperm(self.samples, generator=generator))
        return epoch, self._order[1][position * size : (position + 1) * size]

    def _one_hot(self, labels: Tensor) -> Tensor:
        return functional.one_hot(labels, self._classes).float()
