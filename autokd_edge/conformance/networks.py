"""Networks that a backend must compute as torch does: each operation alone, odd shapes, random students."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autokd_edge.core.space import Point, Value
from autokd_edge.core.student import (
    INPUT,
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Layer,
    Linear,
    MaxPool,
    Mean,
    Op,
    Relu,
    Relu6,
    Scale,
    StudentSpec,
    Task,
    WeightedSum,
)
from autokd_edge.ports import StudentFamily
from autokd_edge.students.families.mobilenet import mobilenet_v3_small_half
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.families.shufflenet import shufflenet_v2_half
from autokd_edge.students.lower_onnx import onnx_from_spec

if TYPE_CHECKING:
    from autokd_edge.students.lower_torch import SpecNetwork

IMAGE = (3, 9, 11)
TASK = Task(image=(1, 16, 16), classes=5, channel_multiple=8)
STUDENT_OPS = ("conv3x3", "separable")
DESIGNED: Mapping[str, Callable[[], StudentFamily]] = {  # 60 layers of random weights are too deep for a law on low precision
    "mobilenet-v3-small": mobilenet_v3_small_half,
    "shufflenet-v2": shufflenet_v2_half,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network with weights as after teaching: its graph, samples ``(n, c, h, w)`` and torch's logits ``(n, classes)``."""

    graph: Path
    samples: Path
    expected: npt.NDArray[np.float32]


def chain(*ops: Op, image: tuple[int, int, int] = IMAGE, seed: int = 5) -> StudentSpec:
    """Write layers one after the other, named a, b, c, ..."""
    names = [INPUT, *(chr(ord("a") + i) for i in range(len(ops)))]
    layers = tuple(Layer(name=names[i + 1], op=op, inputs=(names[i],)) for i, op in enumerate(ops))
    return StudentSpec(input=image, layers=layers, seed=seed)


def graph(*layers: tuple[str, Op, Sequence[str]], image: tuple[int, int, int] = IMAGE, seed: int = 5) -> StudentSpec:
    """Write named layers."""
    return StudentSpec(input=image, layers=tuple(Layer(name=n, op=op, inputs=tuple(i)) for n, op, i in layers), seed=seed)


CONV = Conv2d(out_channels=8, kernel=3)
HEAD = (GlobalAvgPool(), Linear(out_features=4))
TAIL: tuple[tuple[str, Op, Sequence[str]], ...] = (("gap", GlobalAvgPool(), ["m"]), ("fc", Linear(out_features=4), ["gap"]))
BRANCHES: tuple[tuple[str, Op, Sequence[str]], ...] = (("x", CONV, [INPUT]), ("y", CONV, [INPUT]))
OPS: Mapping[str, StudentSpec] = {
    "convolution": chain(CONV, *HEAD),
    "strided convolution": chain(Conv2d(out_channels=8, kernel=3, stride=2), *HEAD),
    "5x5 convolution with bias": chain(Conv2d(out_channels=8, kernel=5, bias=True), *HEAD),
    "1x1 convolution": chain(Conv2d(out_channels=8, kernel=1), *HEAD),
    "depthwise convolution": chain(Conv2d(out_channels=3, kernel=3, groups=3), *HEAD),
    "grouped convolution": chain(CONV, Conv2d(out_channels=8, kernel=3, groups=4), *HEAD),
    "batch norm": chain(CONV, BatchNorm(), *HEAD),
    "ReLU": chain(Relu(), *HEAD),
    "pooling": chain(AvgPool(kernel=3, stride=2), *HEAD),
    "dropout": chain(Dropout(rate=0.5), *HEAD),
    "global pooling": chain(CONV, GlobalAvgPool()),
    "sum": graph(*BRANCHES, ("m", Add(), ["x", "y"]), *TAIL),
    "mean": graph(*BRANCHES, ("m", Mean(), ["x", "y"]), *TAIL),
    "weighted sum": graph(*BRANCHES, ("m", WeightedSum(), ["x", "y"]), *TAIL),
    "ReLU6": chain(CONV, CONV, Relu6(), *HEAD),
    "hard sigmoid": chain(CONV, HardSigmoid(), *HEAD),
    "hard swish": chain(CONV, HardSwish(), *HEAD),
    "max pooling": chain(CONV, MaxPool(kernel=3, stride=2), *HEAD),
    "gate": graph(*BRANCHES, ("v", GlobalAvgPool(), ["y"]), ("h", HardSigmoid(), ["v"]), ("m", Scale(), ["x", "h"]), *TAIL),
    "concatenation": graph(*BRANCHES, ("m", Concat(), ["x", "y"]), *TAIL),
    "slice": chain(CONV, ChannelSlice(start=2, stop=7), CONV, *HEAD),
    "shuffle": chain(CONV, ChannelShuffle(groups=2), CONV, *HEAD),
}
ODD = Conv2d(out_channels=7, kernel=3)


def odd(image: tuple[int, int, int]) -> StudentSpec:
    """Write a block of 7 channels: a convolution, a depthwise one, a merge."""
    return graph(
        ("x", ODD, [INPUT]),
        ("r", Relu(), ["x"]),
        ("d", replace(ODD, groups=7), ["r"]),
        ("p", Conv2d(out_channels=7, kernel=1), ["d"]),
        ("m", WeightedSum(), ["r", "p"]),
        *TAIL,
        image=image,
    )


SHAPES: Mapping[str, StudentSpec] = {
    "odd channels": odd((5, 9, 9)),
    "a 1x1 image": odd((16, 1, 1)),
    "wide": odd((1, 6, 17)),
    "tall": odd((3, 13, 4)),
}


def student(op: str, *, seed: int = 4) -> StudentSpec:
    """Draw a random student of NAGO with one operation, ``conv3x3`` or ``separable``."""
    return next(nago_members(TASK, op=op, count=1, seed=seed))


def designed(name: str) -> StudentSpec:
    """Write a network that people designed, from ``DESIGNED``."""
    return DESIGNED[name]().spec(Point(values=()), TASK, 0)


def nago_point(task: Task, **others: Value) -> Point:
    """Make the smallest architecture of NAGO; ``others`` replace its parameters."""
    space = NagoFamily().space(task)
    values = {parameter.name: parameter.at(0.0) for parameter in space.parameters}
    return space.point({**values, **others})


def nago_members(task: Task, *, op: str, count: int, seed: int) -> Iterator[StudentSpec]:
    """Draw members of random families of NAGO, not too large."""
    family, rng = NagoFamily(), np.random.default_rng(seed)
    space = family.space(task)
    for index in range(count):
        unit = list(rng.random(len(space)) * [0.5, 1, 1, 0.5, 1, 0.7, 1, 1, 0.3, 1])
        drawn: dict[str, Value] = {**dict(space.at(unit)), "op": op}
        yield family.spec(nago_point(task, **drawn), task, index)


def trained_like(spec: StudentSpec, *, seed: int) -> SpecNetwork:
    """Build the torch module with random merges, gains and shifts, and batch statistics near those of random images."""
    import torch
    from torch import nn

    from autokd_edge.students.lower_torch import torch_from_spec

    rng = torch.Generator().manual_seed(seed)
    network = torch_from_spec(spec)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith(".bias"):
                value.normal_(0, 0.3, generator=rng)
            elif value.ndim == 1:
                value.uniform_(-1, 2, generator=rng)  # a merge's scalars; gains are drawn below
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=rng)
            norm.momentum = 1.0  # the statistics of this one batch
        network.train()(torch.randn(8, *spec.input, generator=rng))
        for norm in norms:
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None and variance is not None, "batch norms of students keep their statistics"  # noqa: PT018
            mean += 0.2 * torch.randn(mean.shape, generator=rng)
            variance *= torch.empty_like(variance).uniform_(0.7, 1.4, generator=rng)
            variance.clamp_(min=0.01)  # a channel that is dead on eight images would explode
    return network.eval()


def arrays_of(network: SpecNetwork) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights as the ONNX lowering takes them."""
    return {name: value.numpy() for name, value in network.arrays().items()}


def write_case(folder: Path, spec: StudentSpec, *, count: int) -> Case:
    """Write a network and ``count`` samples into a folder, and compute the logits by torch."""
    import torch

    network = trained_like(spec, seed=1)
    model = onnx_from_spec(spec, arrays_of(network))
    (folder / "student.onnx").write_bytes(model.SerializeToString(deterministic=True))
    samples = np.random.default_rng(3).standard_normal((count, *spec.input), dtype=np.float32)
    np.save(folder / "samples.npy", samples)
    with torch.no_grad():
        expected: npt.NDArray[np.float32] = network(torch.from_numpy(samples)).numpy()
    return Case(graph=folder / "student.onnx", samples=folder / "samples.npy", expected=expected)
