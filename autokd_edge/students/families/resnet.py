"""A plain residual network (He et al., 2015, arXiv 1512.03385), the form of the example teachers."""

from __future__ import annotations

from autokd_edge.core.student import INPUT, Add, Conv2d, GlobalAvgPool, Linear, Relu, StudentSpec
from autokd_edge.students.graph import GraphWriter


def resnet_spec(image: tuple[int, int, int], classes: int, widths: tuple[int, ...], blocks: int, *, stem: int, seed: int) -> StudentSpec:
    """Write a residual network: a 3x3 stem, then one stride-2 stage for each width with ``blocks`` blocks."""
    graph = GraphWriter(image)
    x = graph.put(Relu(), graph.conv_norm(INPUT, stem))
    for width in widths:
        for block in range(blocks):
            x = _block(graph, x, width, stride=2 if block == 0 else 1)
    x = graph.put(GlobalAvgPool(), x)
    graph.put(Linear(out_features=classes), x)
    return graph.spec(seed=seed)


def _block(graph: GraphWriter, x: str, width: int, *, stride: int) -> str:
    y = graph.put(Relu(), graph.conv_norm(x, width, stride=stride))
    y = graph.conv_norm(y, width)
    if stride != 1 or graph.channels(x) != width:
        x = graph.norm(graph.put(Conv2d(out_channels=width, kernel=1, stride=stride), x))
    return graph.put(Relu(), graph.put(Add(), y, x))
