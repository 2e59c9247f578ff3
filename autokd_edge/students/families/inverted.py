"""Inverted residual blocks (Sandler et al., 2018, arXiv 1801.04381), with squeeze-and-excite (Howard et al., 2019).

Fused blocks are EfficientNetV2's (Tan and Le, 2021, arXiv 2104.00298): one dense convolution does what the first
1x1 and the depthwise one do.
"""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.student import Activation, Add, Conv2d, GlobalAvgPool, HardSigmoid, Linear, Relu, Scale
from autokd_edge.students.graph import GraphWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverted:
    """One block: 1x1 to ``inner`` channels, depthwise, 1x1 to ``out``; the sum with its input where the shapes allow.

    A fused block: dense to ``inner``, 1x1 to ``out``; a dense convolution to ``out`` alone where it would not widen.
    """

    inner: int
    out: int
    kernel: int
    stride: int
    activation: Activation
    squeezed: int = 0  # channels between the two layers of squeeze-and-excite; 0 leaves it out
    fused: bool = False


def write_inverted(graph: GraphWriter, x: str, block: Inverted) -> str:
    """Append a block and return its output; the 1x1 convolution that would not widen is left out."""
    widens = block.inner != graph.channels(x)
    y = _spread_out(graph, x, block, widens=widens)
    if block.squeezed:
        y = graph.put(Scale(), y, _gate(graph, y, block.squeezed))
    if widens or not block.fused:
        y = graph.norm(graph.put(Conv2d(out_channels=block.out, kernel=1), y))
    return graph.put(Add(), y, x) if block.stride == 1 and block.out == graph.channels(x) else y


def _spread_out(graph: GraphWriter, x: str, block: Inverted, *, widens: bool) -> str:
    """Append what comes before the last 1x1 convolution: the block's look at neighbouring pixels."""
    if block.fused:
        channels = block.inner if widens else block.out
        return graph.put(block.activation, graph.conv_norm(x, channels, block.kernel, stride=block.stride))
    if widens:
        x = graph.put(block.activation, graph.conv_norm(x, block.inner, 1))
    return graph.put(block.activation, graph.conv_norm(x, block.inner, block.kernel, stride=block.stride, depthwise=True))


def _gate(graph: GraphWriter, x: str, squeezed: int) -> str:
    """Append the factors of squeeze-and-excite, one for each channel."""
    hidden = graph.put(Relu(), graph.put(Linear(out_features=squeezed), graph.put(GlobalAvgPool(), x)))
    return graph.put(HardSigmoid(), graph.put(Linear(out_features=graph.channels(x)), hidden))
