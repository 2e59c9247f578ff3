"""MobileNetV2 (arXiv 1801.04381) and MobileNetV3-small (arXiv 1905.02244) at any width, as torchvision writes them."""

from __future__ import annotations

from itertools import chain

from autokd_edge.core.student import INPUT, Activation, Dropout, GlobalAvgPool, HardSwish, Linear, Relu, Relu6, StudentSpec, Task
from autokd_edge.students.families.adapted import kept_strides, rounded_channels
from autokd_edge.students.families.designed import DesignedFamily
from autokd_edge.students.families.inverted import Inverted, write_inverted
from autokd_edge.students.graph import GraphWriter

DROPOUT = 0.2  # before the classifier, in both papers' code
# Table 2 of the paper: expansion, channels, blocks, stride of the first block.
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_V2_STEM, _V2_HEAD = 32, 1280
# Table 2 of the paper: kernel, inner channels, channels, squeeze-and-excite, activation, stride.
_V3_SMALL: tuple[tuple[int, int, int, bool, Activation, int], ...] = (
    (3, 16, 16, True, Relu(), 2),
    (3, 72, 24, False, Relu(), 2),
    (3, 88, 24, False, Relu(), 1),
    (5, 96, 40, True, HardSwish(), 2),
    (5, 240, 40, True, HardSwish(), 1),
    (5, 240, 40, True, HardSwish(), 1),
    (5, 120, 48, True, HardSwish(), 1),
    (5, 144, 48, True, HardSwish(), 1),
    (5, 288, 96, True, HardSwish(), 2),
    (5, 576, 96, True, HardSwish(), 1),
    (5, 576, 96, True, HardSwish(), 1),
)
_V3_STEM, _V3_HEAD_RATIO, _V3_HIDDEN = 16, 6, 1024


def mobilenet_v2_quarter() -> DesignedFamily:
    """MobileNetV2 with a quarter of its channels."""
    return DesignedFamily("mobilenetv2-0.25", lambda task, seed: mobilenet_v2_spec(task, 0.25, seed=seed))


def mobilenet_v2_half() -> DesignedFamily:
    """MobileNetV2 with half of its channels."""
    return DesignedFamily("mobilenetv2-0.5", lambda task, seed: mobilenet_v2_spec(task, 0.5, seed=seed))


def mobilenet_v3_small_half() -> DesignedFamily:
    """MobileNetV3-small with half of its channels."""
    return DesignedFamily("mobilenetv3-small-0.5", lambda task, seed: mobilenet_v3_small_spec(task, 0.5, seed=seed))


def mobilenet_v2_spec(task: Task, width: float, *, seed: int) -> StudentSpec:
    """Write MobileNetV2; the head keeps its 1280 channels below width 1, as published."""
    graph = GraphWriter(task.image)
    firsts = chain.from_iterable((stride, *(1,) * (count - 1)) for _, _, count, stride in _V2)
    stem_stride, *strides = kept_strides(task.image, (2, *firsts))
    x = graph.put(Relu6(), graph.conv_norm(INPUT, rounded_channels(width * _V2_STEM), stride=stem_stride))
    planned = iter(strides)
    for expansion, channels, count, _ in _V2:
        for _ in range(count):
            inner = expansion * graph.channels(x)
            out = rounded_channels(width * channels)
            x = write_inverted(graph, x, Inverted(inner=inner, out=out, kernel=3, stride=next(planned), activation=Relu6()))
    x = graph.put(Relu6(), graph.conv_norm(x, rounded_channels(max(1.0, width) * _V2_HEAD), 1))
    x = graph.put(Dropout(rate=DROPOUT), graph.put(GlobalAvgPool(), x))
    graph.put(Linear(out_features=task.classes), x)
    return graph.spec(seed=seed)


def mobilenet_v3_small_spec(task: Task, width: float, *, seed: int) -> StudentSpec:
    """Write MobileNetV3-small; the gate of squeeze-and-excite goes through a quarter of the inner channels."""
    graph = GraphWriter(task.image)
    stem_stride, *strides = kept_strides(task.image, (2, *(row[-1] for row in _V3_SMALL)))
    x = graph.put(HardSwish(), graph.conv_norm(INPUT, rounded_channels(width * _V3_STEM), stride=stem_stride))
    for (kernel, inner, out, gated, activation, _), stride in zip(_V3_SMALL, strides, strict=True):
        wide = rounded_channels(width * inner)
        block = Inverted(
            inner=wide,
            out=rounded_channels(width * out),
            kernel=kernel,
            stride=stride,
            activation=activation,
            squeezed=rounded_channels(wide // 4) if gated else 0,
        )
        x = write_inverted(graph, x, block)
    x = graph.put(HardSwish(), graph.conv_norm(x, _V3_HEAD_RATIO * graph.channels(x), 1))
    x = graph.put(Linear(out_features=rounded_channels(width * _V3_HIDDEN)), graph.put(GlobalAvgPool(), x))
    x = graph.put(Dropout(rate=DROPOUT), graph.put(HardSwish(), x))
    graph.put(Linear(out_features=task.classes), x)
    return graph.spec(seed=seed)
