"""Depthwise convolutions whose gradients are computed from what the processor's library is fast at.

Of a strided window, oneDNN computes the images' gradient in bfloat16 in a loop that takes hundreds of times as long as
the forward pass, and of a window of 5x5 or larger the weights' gradient, in any arithmetic, one of ten times and more.
The same numbers come of what it has kernels for: the former of the window with stride 1 over a gradient with zeros in
between, the latter of windows of 3x3 that cover the larger one. What that gains is in docs/decisions/0004-teaching.md.
"""

from __future__ import annotations

import itertools
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_PART = 3  # sides of the windows whose weights' gradient is fast


class DepthwiseConv2d(nn.Conv2d):
    """``nn.Conv2d`` of one input channel an output channel; the same weights, numbers and names, and faster gradients."""

    def __init__(self, channels: int, kernel: int, stride: int, *, bias: bool) -> None:
        super().__init__(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """Convolve ``(n, c, h, w)``; under autocast in its arithmetic, as torch's own does."""
        if not (self.training and torch.is_grad_enabled() and self._is_slow() and image.device.type == "cpu"):
            return super().forward(image)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else image.dtype
        made = cast("Tensor", _Depthwise.apply(image.to(kind), self.weight.to(kind), self.stride[0], self.padding[0]))  # type: ignore[no-untyped-call]  # torch's own
        return made if self.bias is None else made + self.bias.to(kind)[:, None, None]

    def _is_slow(self) -> bool:
        return self.stride[0] > 1 or self.kernel_size[0] > _PART


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:  # noqa: ANN401  torch's context
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(image, weight, None, stride, padding, 1, image.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401  torch's context
        image, weight = ctx.saved_tensors
        of_image, of_weight = ctx.needs_input_grad[:2]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return (
            _of_image(gradient, image, weight, ctx.stride, ctx.padding) if of_image else None,
            _of_weight(gradient, image, weight, ctx.stride, ctx.padding) if of_weight else None,
            None,
            None,
        )


def _of_image(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    if stride > 1 and image.dtype == torch.bfloat16:
        size = [side + 2 * padding - weight.shape[2] + 1 for side in image.shape[2:]]
        spread = gradient.new_zeros((*gradient.shape[:2], *size)).contiguous(memory_format=torch.channels_last)
        spread[:, :, ::stride, ::stride] = gradient
        gradient, stride = spread, 1
    of_image, _ = _gradients(gradient, image, weight, stride, padding, (True, False))
    return of_image


def _of_weight(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    size = weight.shape[2]
    if size <= _PART:
        _, of_weight = _gradients(gradient, image, weight, stride, padding, (False, True))
        return of_weight
    padded = nn.functional.pad(image, (padding,) * 4)
    rows, columns = ((count - 1) * stride + _PART for count in gradient.shape[2:])
    seen = image.new_empty((*image.shape[:2], rows, columns)).contiguous(memory_format=torch.channels_last)
    found = torch.empty_like(weight)
    starts = sorted({min(start, size - _PART) for start in range(0, size, _PART)})
    for top, left in itertools.product(starts, starts):
        seen.copy_(padded[:, :, top : top + rows, left : left + columns])
        place = (slice(None), slice(None), slice(top, top + _PART), slice(left, left + _PART))
        _, found[place] = _gradients(gradient, seen, weight[place].contiguous(), stride, 0, (False, True))
    return found


def _gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    of_image, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, image, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], image.shape[1], [*wanted, False]
    )
    return of_image, of_weight
