"""Plain residual networks (He et al., 2015, arXiv 1512.03385): the form of the example teachers, and MLPerf Tiny's ResNet-8."""

from __future__ import annotations

from autokd_edge.core.student import INPUT, Add, Conv2d, GlobalAvgPool, Linear, MaxPool, Relu, StudentSpec, Task
from autokd_edge.students.families.designed import DesignedFamily
from autokd_edge.students.graph import GraphWriter

_STAGES = (16, 32, 64)  # ResNet-8's channels
_SMALL, _MEDIUM = 64, 128  # pixels; from here on the stem halves the image once, and twice, as larger ResNets do


def resnet8() -> DesignedFamily:
    """ResNet-8 of MLPerf Tiny's image classification (Banbury et al., 2021, arXiv 2106.07597)."""
    return DesignedFamily("resnet8", lambda task, seed: resnet8_spec(task, seed=seed))


def resnet8_spec(task: Task, *, seed: int) -> StudentSpec:
    """Write ResNet-8: one block a stage; its 1x1 shortcuts have a bias and no batch norm, as in the benchmark's code."""
    graph = GraphWriter(task.image)
    short = min(task.image[1:])
    x = graph.put(Relu(), graph.conv_norm(INPUT, _STAGES[0], stride=1 if short < _SMALL else 2))
    if short >= _MEDIUM:
        x = graph.put(MaxPool(kernel=3, stride=2), x)
    for number, width in enumerate(_STAGES):
        stride = 1 if number == 0 else 2
        y = graph.put(Relu(), graph.conv_norm(x, width, stride=stride))
        y = graph.conv_norm(y, width)
        if stride == 2:
            x = graph.put(Conv2d(out_channels=width, kernel=1, stride=2, bias=True), x)
        x = graph.put(Relu(), graph.put(Add(), y, x))
    graph.put(Linear(out_features=task.classes), graph.put(GlobalAvgPool(), x))
    return graph.spec(seed=seed)


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
