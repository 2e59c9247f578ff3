"""How a network that was published for one image size is adapted to another: fewer strides, no others.

Networks for ImageNet halve 224 pixels five times. On smaller images the strides that come first are
left out, as public code for CIFAR does, so that the last map stays at least 3 pixels wide where it can.
"""

from __future__ import annotations

from collections.abc import Sequence

LEAST_MAP = 3  # pixels; 96 / 32, the smallest input that MobileNets were published for


def kept_strides(image: tuple[int, int, int], strides: Sequence[int]) -> tuple[int, ...]:
    """Return the strides with as many of the first twos replaced by ones as the shorter side asks for."""
    short = min(image[1:])
    twos = [place for place, stride in enumerate(strides) if stride == 2]
    kept = next((count for count in range(len(twos), 0, -1) if short >= LEAST_MAP << count), 0)
    dropped = set(twos[: len(twos) - kept])
    return tuple(1 if place in dropped else stride for place, stride in enumerate(strides))


def rounded_channels(channels: float, multiple: int = 8) -> int:
    """Round to a multiple without going down by more than 10 %, as the MobileNets' public code does."""
    rounded = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return rounded + multiple * (rounded < 0.9 * channels)
