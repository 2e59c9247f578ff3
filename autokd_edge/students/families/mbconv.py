"""Chains of inverted residual blocks: block, depth, kernel and expansion of each stage, stem and width are searched.

The blocks are MobileNetV2's (Sandler et al., 2018, arXiv 1801.04381) or EfficientNetV2's fused ones (Tan and Le, 2021,
arXiv 2104.00298), the parameters those that MnasNet (Tan et al., 2019, arXiv 1807.11626) searches stage by stage.
Ranges and proportions are choices of this project; docs/decisions/0013-families.md has the reasons.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass

from autokd_edge.core.space import Choice, Integer, Ordinal, Parameter, Point, SearchSpace, When
from autokd_edge.core.student import INPUT, Dropout, GlobalAvgPool, Linear, Relu, StudentSpec, Task
from autokd_edge.students.cost import deployed_parameters
from autokd_edge.students.families.inverted import Inverted, write_inverted
from autokd_edge.students.graph import GraphWriter

SMALL_IMAGE = 40  # pixels, as in the family nago; below it there are three stages, else four
RATIOS_SMALL, RATIOS_LARGE = (2, 3, 6), (2, 3, 6, 10)  # channels of the stages, about MobileNetV2's 16, 24, 48, 80
BUDGETS_SMALL = (5_000, 1_000_000)  # parameters; it begins below nago's, for limits that nago cannot keep
BUDGETS_LARGE = (50_000, 6_000_000)
BUDGETS = 20  # to choose from, each about 1.3 times the one before
DEEPEST = 4  # blocks of a stage
WIDEST = 64  # multiples of the smallest width that the solver may take
HEAD = 2  # channels of the 1x1 head, in widths of the last stage
DROPOUT = 0.1  # before the classifier


class MBConvFamily:
    """One network for each point: nothing is left to chance but the initial weights."""

    name = "mbconv"

    def space(self, task: Task) -> SearchSpace:
        """Return stem, width, and each stage's depth, block, kernel and expansion; the last stage may have no block."""
        stages = len(_ratios(task))
        inner = [parameter for stage in range(1, stages + 1) for parameter in _stage(stage, least=int(stage < stages))]
        return SearchSpace(
            parameters=(
                Choice(name="stem", values=("full", "halved")),  # of the image, or of the half that large images begin with
                Ordinal(name="width", values=_budgets(*(BUDGETS_SMALL if _small(task) else BUDGETS_LARGE))),
                *inner,
            )
        )

    def members(self, architecture: Point) -> int:  # noqa: ARG002  the port's
        """Return 1: all indices are the same network."""
        return 1

    def spec(self, architecture: Point, task: Task, index: int) -> StudentSpec:
        """Write the network with the largest channels within the parameter budget; ``index`` draws other initial weights."""
        stages = _stages(architecture, task)
        halvings = int(not _small(task)) + int(architecture["stem"] == "halved")
        seed = int.from_bytes(hashlib.sha256(f"mbconv {architecture.values!r} {index}".encode()).digest()[:4], "big")

        def at(step: int) -> StudentSpec:
            return _write(stages, task, step, halvings=halvings, seed=seed)

        steps = range(1, WIDEST * _ratios(task)[-1] + 1)
        widest = bisect_right(steps, architecture.integer("width"), key=lambda step: deployed_parameters(at(step)))
        return at(max(1, widest))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    depth: int
    fused: bool
    kernel: int
    expansion: int
    ratio: int


def _stage(number: int, *, least: int) -> tuple[Parameter, ...]:
    depth = f"depth_{number}"
    when = When(parameter=depth, above=0) if least == 0 else None
    return (
        Integer(name=depth, low=least, high=DEEPEST),
        Choice(name=f"block_{number}", values=("inverted", "fused"), when=when),
        Choice(name=f"kernel_{number}", values=(3, 5), when=when),
        Ordinal(name=f"expansion_{number}", values=(1, 2, 4, 6), when=when),
    )


def _stages(architecture: Point, task: Task) -> tuple[_Stage, ...]:
    """Return the stages that have blocks."""
    return tuple(
        _Stage(
            depth=architecture.integer(f"depth_{number}"),
            fused=architecture[f"block_{number}"] == "fused",
            kernel=architecture.integer(f"kernel_{number}"),
            expansion=architecture.integer(f"expansion_{number}"),
            ratio=ratio,
        )
        for number, ratio in enumerate(_ratios(task), start=1)
        if architecture.integer(f"depth_{number}") > 0
    )


def _write(stages: tuple[_Stage, ...], task: Task, step: int, *, halvings: int, seed: int) -> StudentSpec:
    graph = GraphWriter(task.image)
    widest = _ratios(task)[-1]
    widths = [max(1, round(step * stage.ratio / widest)) * task.channel_multiple for stage in stages]
    x = graph.put(Relu(), graph.conv_norm(INPUT, widths[0], stride=2 if halvings else 1))
    for number, (stage, out) in enumerate(zip(stages, widths, strict=True)):
        first = 2 if number > 0 or halvings == 2 else 1
        for block in range(stage.depth):
            inner = stage.expansion * graph.channels(x)
            stride = first if block == 0 else 1
            shape = Inverted(inner=inner, out=out, kernel=stage.kernel, stride=stride, activation=Relu(), fused=stage.fused)
            x = write_inverted(graph, x, shape)
    x = graph.put(Relu(), graph.conv_norm(x, HEAD * widths[-1], 1))
    x = graph.put(Dropout(rate=DROPOUT), graph.put(GlobalAvgPool(), x))
    graph.put(Linear(out_features=task.classes), x)
    return graph.spec(seed=seed)


def _small(task: Task) -> bool:
    return max(task.image[1:]) < SMALL_IMAGE


def _ratios(task: Task) -> tuple[int, ...]:
    return RATIOS_SMALL if _small(task) else RATIOS_LARGE


def _budgets(low: int, high: int) -> tuple[int, ...]:
    """Return parameter budgets in equal ratios, two digits each."""
    return tuple(int(float(f"{low * (high / low) ** (step / (BUDGETS - 1)):.2g}")) for step in range(BUDGETS))
