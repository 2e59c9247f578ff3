"""Quantise and dequantise while learning: rounding is passed over by gradients, the step width is learnt.

Notation: x values, s step (scale) > 0, z zero point, [low, high] the integers there are; y = s (clamp(round(x / s) + z) - z).
With gradients that pass over the rounding (Bengio et al., 2013, arXiv 1308.3432), dy/dx is 1 inside of the range and 0 outside,
and s dy/ds = y - x inside, y outside (Esser et al., 2019, arXiv 1902.08153). s is learnt by its logarithm, so that it stays
positive and every range moves by the same share (Jain et al., 2019, arXiv 1903.08066).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

INSIDE = 0.5 * (1 + 1e-3)  # steps between a value inside of the range and its rounding; the rest is float32's own rounding


class StepWidths(nn.Module):
    """Learnt steps of one quantiser, or of several that share them: one, or one for each channel of ``axis``."""

    start: Tensor

    def __init__(self, scale: Tensor, zero_point: Tensor, *, low: int, high: int, axis: int | None) -> None:
        super().__init__()
        self.register_buffer("start", scale.log())
        self.moved = nn.Parameter(torch.zeros_like(scale))  # of the logarithm
        self._zero_point, self._low, self._high, self._axis = zero_point.to(torch.int32), low, high, axis

    @property
    def scale(self) -> Tensor:
        """The steps as they are now, shaped as the quantiser gave them."""
        return (self.start + self.moved).exp()

    def forward(self, values: Tensor) -> Tensor:
        """Round values to the steps, within the range."""
        quantized: Tensor = _FakeQuantize.apply(values, self.scale, self._zero_point, self._low, self._high, self._axis)  # type: ignore[no-untyped-call]
        return quantized

    @torch.no_grad()
    def integers(self, values: Tensor) -> Tensor:
        """Return the integers that stand for values, int64."""
        shape = _along(values.dim(), self._axis)
        scale, zero_point = (self.scale, self._zero_point) if self._axis is None else (self.scale.view(shape), self._zero_point.view(shape))
        return ((values / scale).round() + zero_point).clamp(self._low, self._high).long()


class _FakeQuantize(torch.autograd.Function):
    """torch's own fake quantisation with a gradient for the logarithm of the steps."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int, axis: int | None) -> Tensor:  # noqa: ANN401  torch's interface
        if axis is None:
            rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, low, high)
        else:
            rounded = torch.fake_quantize_per_channel_affine(values, scale, zero_point, axis, low, high)
        ctx.save_for_backward(values, rounded, scale)
        ctx.axis = axis
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401  torch's interface
        values, rounded, scale = ctx.saved_tensors
        (gradient,) = gradients
        steps = scale if ctx.axis is None else scale.view(_along(values.dim(), ctx.axis))
        inside = (values - rounded).abs() <= INSIDE * steps
        to_scale = gradient * (rounded - values * inside) / steps
        others = [dim for dim in range(values.dim()) if dim != ctx.axis]
        return gradient * inside, to_scale.sum() if ctx.axis is None else to_scale.sum(dim=others), None, None, None, None


def _along(dims: int, axis: int | None) -> tuple[int, ...]:
    return tuple(-1 if dim == axis else 1 for dim in range(dims))
