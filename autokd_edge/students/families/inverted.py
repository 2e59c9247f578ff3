"""Inverted residual blocks (Sandler et al., 2018, arXiv 1801.04381), with squeeze-and-excite (Howard et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.student import Activation, Add, Conv2d, GlobalAvgPool, HardSigmoid, Linear, Relu, Scale
from autokd_edge.students.graph import GraphWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverted:
    """One block: 1x1 to ``inner`` channels, depthwise, 1x1 to ``out``; the sum with its input where the shapes allow."""

    inner: int
    out: int
    kernel: int
    stride: int
    activation: Activation
    squeezed: int = 0  # channels between the two layers of squeeze-and-excite; 0 leaves it out


def write_inverted(graph: GraphWriter, x: str, block: Inverted) -> str:
    """Append a block and return its output; the first 1x1 convolution is left out where it would not widen."""
    y = x
    if block.inner != graph.channels(x):
        y = graph.put(block.activation, graph.conv_norm(y, block.inner, 1))
    y = graph.put(block.activation, graph.conv_norm(y, block.inner, block.kernel, stride=block.stride, depthwise=True))
    if block.squeezed:
        y = graph.put(Scale(), y, _gate(graph, y, block.squeezed))
    y = graph.norm(graph.put(Conv2d(out_channels=block.out, kernel=1), y))
    return graph.put(Add(), y, x) if block.stride == 1 and block.out == graph.channels(x) else y


def _gate(graph: GraphWriter, x: str, squeezed: int) -> str:
    """Append the factors of squeeze-and-excite, one for each channel."""
    hidden = graph.put(Relu(), graph.put(Linear(out_features=squeezed), graph.put(GlobalAvgPool(), x)))
    return graph.put(HardSigmoid(), graph.put(Linear(out_features=graph.channels(x)), hidden))
