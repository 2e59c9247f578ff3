"""A network in the form of MCUNet's (Lin et al., 2020, arXiv 2007.10319).

Its searched networks are narrow chains of inverted residual blocks with kernels of 3, 5 and 7, early
strides and no wide head. Form and proportions are theirs; this list of blocks is a choice of this
project, not one of their published networks.
"""

from __future__ import annotations

from autokd_edge.core.student import INPUT, GlobalAvgPool, Linear, Relu6, StudentSpec, Task
from autokd_edge.students.families.adapted import kept_strides
from autokd_edge.students.families.designed import DesignedFamily
from autokd_edge.students.families.inverted import Inverted, write_inverted
from autokd_edge.students.graph import GraphWriter

_STEM = 16
# Expansion, channels, kernel, stride.
_BLOCKS = (
    (1, 8, 3, 1),
    (3, 16, 7, 2),
    (4, 16, 3, 1),
    (5, 24, 7, 2),
    (4, 24, 5, 1),
    (4, 24, 3, 1),
    (5, 40, 7, 2),
    (5, 40, 5, 1),
    (4, 48, 5, 1),
    (4, 48, 3, 1),
    (5, 96, 5, 2),
    (4, 96, 5, 1),
    (5, 160, 3, 1),
)


def mcunet_like() -> DesignedFamily:
    """Return the family with this one network."""
    return DesignedFamily("mcunet-like", lambda task, seed: mcunet_spec(task, seed=seed))


def mcunet_spec(task: Task, *, seed: int) -> StudentSpec:
    """Write the network."""
    graph = GraphWriter(task.image)
    stem_stride, *strides = kept_strides(task.image, (2, *(row[-1] for row in _BLOCKS)))
    x = graph.put(Relu6(), graph.conv_norm(INPUT, _STEM, stride=stem_stride))
    for (expansion, out, kernel, _), stride in zip(_BLOCKS, strides, strict=True):
        inner = expansion * graph.channels(x)
        x = write_inverted(graph, x, Inverted(inner=inner, out=out, kernel=kernel, stride=stride, activation=Relu6()))
    graph.put(Linear(out_features=task.classes), graph.put(GlobalAvgPool(), x))
    return graph.spec(seed=seed)
