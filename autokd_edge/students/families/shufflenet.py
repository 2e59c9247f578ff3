"""ShuffleNetV2 at width 0.5 (Ma et al., 2018, arXiv 1807.11164), as torchvision writes it."""

from __future__ import annotations

from autokd_edge.core.student import (
    INPUT,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Relu,
    StudentSpec,
    Task,
)
from autokd_edge.students.families.adapted import kept_strides
from autokd_edge.students.families.designed import DesignedFamily
from autokd_edge.students.graph import GraphWriter

# Table 5 of the paper: blocks and channels of the three stages at width 0.5.
_STAGES = ((4, 48), (8, 96), (4, 192))
_STEM, _HEAD = 24, 1024


def shufflenet_v2_half() -> DesignedFamily:
    """ShuffleNetV2 with half of its channels."""
    return DesignedFamily("shufflenetv2-0.5", lambda task, seed: shufflenet_v2_spec(task, seed=seed))


def shufflenet_v2_spec(task: Task, *, seed: int) -> StudentSpec:
    """Write ShuffleNetV2 x0.5; on small images the stem's stride goes first, then its max pooling."""
    graph = GraphWriter(task.image)
    stem_stride, pool_stride, *strides = kept_strides(task.image, (2, 2, *(2 for _ in _STAGES)))
    x = graph.put(Relu(), graph.conv_norm(INPUT, _STEM, stride=stem_stride))
    if pool_stride == 2:
        x = graph.put(MaxPool(kernel=3, stride=2), x)
    for (count, channels), stride in zip(_STAGES, strides, strict=True):
        x = _reducing(graph, x, channels, stride)
        for _ in range(count - 1):
            x = _basic(graph, x)
    x = graph.put(Relu(), graph.conv_norm(x, _HEAD, 1))
    graph.put(Linear(out_features=task.classes), graph.put(GlobalAvgPool(), x))
    return graph.spec(seed=seed)


def _basic(graph: GraphWriter, x: str) -> str:
    """Append a unit that lets half of the channels pass and works on the other half."""
    half = graph.channels(x) // 2
    passed = graph.put(ChannelSlice(start=0, stop=half), x)
    worked = _branch(graph, graph.put(ChannelSlice(start=half, stop=2 * half), x), half, stride=1)
    return graph.put(ChannelShuffle(groups=2), graph.put(Concat(), passed, worked))


def _reducing(graph: GraphWriter, x: str, channels: int, stride: int) -> str:
    """Append the first unit of a stage, whose two branches both read all channels."""
    shortcut = graph.conv_norm(x, graph.channels(x), stride=stride, depthwise=True)
    shortcut = graph.put(Relu(), graph.conv_norm(shortcut, channels // 2, 1))
    worked = _branch(graph, x, channels // 2, stride=stride)
    return graph.put(ChannelShuffle(groups=2), graph.put(Concat(), shortcut, worked))


def _branch(graph: GraphWriter, x: str, channels: int, *, stride: int) -> str:
    x = graph.put(Relu(), graph.conv_norm(x, channels, 1))
    x = graph.conv_norm(x, channels, stride=stride, depthwise=True)
    return graph.put(Relu(), graph.conv_norm(x, channels, 1))
