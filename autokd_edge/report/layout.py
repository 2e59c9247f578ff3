"""Place a network's graph in layers from left to right (Sugiyama, Tagawa, Toda, IEEE SMC 11, 1981).

What a reader does not look for is folded into its neighbour first: normalisation, activation and
dropout into the convolution, a depthwise convolution into the pointwise one behind it, a merge into
the only block that reads it. Stages (one resolution each) take columns of their own.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

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
    Shape,
    StudentSpec,
    WeightedSum,
)

BlockKind: TypeAlias = Literal["input", "conv", "pointwise", "separable", "merge", "pool", "head"]
_MERGES: Mapping[type[Op], str] = {Add: "sum", Mean: "mean", Concat: "concatenation", Scale: "squeeze-and-excite"}
_SWEEPS = 12  # of ordering and of straightening; crossings stop falling after about 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One node of the drawing; ``shape`` is that of its output."""

    name: str
    kind: BlockKind
    shape: Shape
    label: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Neighbouring columns of one resolution."""

    shape: Shape  # of its widest block
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything goes: columns from 0, rows around 0, both in units of one block.

    ``edges`` are paths through (column, row) points.
    """

    blocks: tuple[Block, ...]
    places: Mapping[str, tuple[int, float]]
    edges: tuple[tuple[tuple[int, float], ...], ...]
    stages: tuple[Stage, ...]


def blocks_of(spec: StudentSpec) -> tuple[Block, ...]:
    """Fold a network's layers into blocks, in order."""
    readers: dict[str, list[Layer]] = defaultdict(list)
    for layer in spec.layers:
        for name in layer.inputs:
            readers[name].append(layer)
    stands_for: dict[str, tuple[str, ...]] = {INPUT: (INPUT,)}  # a layer -> the blocks that a reader of it reads
    depthwise: dict[str, str] = {}
    blocks = [Block(name=INPUT, kind="input", shape=spec.input, label="input", inputs=())]
    for layer in spec.layers:
        sources = tuple(dict.fromkeys(name for source in layer.inputs for name in stands_for[source]))
        source = layer.inputs[0]
        if source in depthwise:
            depthwise[layer.name] = depthwise[source]
        if _folds(layer, spec, readers):
            stands_for[layer.name] = sources
            if isinstance(layer.op, Conv2d):
                depthwise[layer.name] = f"{layer.op.kernel}\N{MULTIPLICATION SIGN}{layer.op.kernel}"
            continue
        stands_for[layer.name] = (layer.name,)
        blocks.append(_block(layer, spec, sources, depthwise.pop(layer.name, None) if isinstance(layer.op, Conv2d) else None))
    return tuple(blocks)


def _folds(layer: Layer, spec: StudentSpec, readers: Mapping[str, list[Layer]]) -> bool:
    match layer.op:
        case BatchNorm() | Dropout() | ChannelSlice() | ChannelShuffle() | GlobalAvgPool():
            return True
        case Relu() | Relu6() | HardSwish() | HardSigmoid():
            return True
        case Linear():
            return layer.name != spec.output  # inside of a squeeze-and-excite gate or a head
        case Add() | Mean() | WeightedSum() | Concat():
            return len(layer.inputs) == 1 or _only_convolution(layer, readers) is not None
        case Conv2d() as conv if conv.groups > 1 and conv.groups == spec.in_channels(layer):
            pointwise = _only_convolution(layer, readers)
            return pointwise is not None and pointwise.kernel == 1 and pointwise.groups == 1
        case _:
            return False


def _only_convolution(layer: Layer, readers: Mapping[str, list[Layer]]) -> Conv2d | None:
    """Return the convolution that alone reads a layer, through normalisation and activation."""
    while len(readers[layer.name]) == 1:
        layer = readers[layer.name][0]
        if isinstance(layer.op, Conv2d):
            return layer.op
        if not isinstance(layer.op, BatchNorm | Dropout | Relu | Relu6 | HardSwish | HardSigmoid):
            return None
    return None


def _block(layer: Layer, spec: StudentSpec, inputs: tuple[str, ...], depthwise: str | None) -> Block:
    shape = spec.shapes[layer.name]
    kind, label = _kind_and_label(layer, depthwise)
    return Block(name=layer.name, kind=kind, shape=shape, label=label, inputs=inputs)


def _kind_and_label(layer: Layer, depthwise: str | None) -> tuple[BlockKind, str]:
    match layer.op:
        case Conv2d() if depthwise is not None:
            return "separable", f"{depthwise} depthwise-separable convolution"
        case Conv2d() as conv:
            size = f"{conv.kernel}\N{MULTIPLICATION SIGN}{conv.kernel} convolution" + f", stride {conv.stride}" * (conv.stride > 1)
            return "pointwise" if conv.kernel == 1 else "conv", size
        case AvgPool() as pool:
            return "pool", f"average pooling {pool.kernel}\N{MULTIPLICATION SIGN}{pool.kernel}"
        case MaxPool() as pool:
            return "pool", f"max pooling {pool.kernel}\N{MULTIPLICATION SIGN}{pool.kernel}"
        case Linear():
            return "head", "classifier"
        case _:
            return "merge", _MERGES.get(type(layer.op), "weighted sum")


def place(blocks: Sequence[Block]) -> Layout:
    """Give every block a column and a row."""
    columns, stages = _columns(blocks)
    paths = [_path(source, block, columns) for block in blocks for source in block.inputs]
    order = _order(blocks, columns, paths)
    rows = _rows(order, paths)
    places = {block.name: (columns[block.name], rows[block.name]) for block in blocks}
    edges = tuple(tuple((columns[path[0]] + i, rows[node]) for i, node in enumerate(path)) for path in paths)
    return Layout(blocks=tuple(blocks), places=places, edges=edges, stages=stages)


def _columns(blocks: Sequence[Block]) -> tuple[dict[str, int], tuple[Stage, ...]]:
    """Put each block right of what it reads, and each resolution right of the larger ones."""
    columns: dict[str, int] = {}
    stages: list[Stage] = []
    start = 0
    by_size: dict[tuple[int, ...], list[Block]] = defaultdict(list)
    for block in blocks:
        by_size[block.shape[1:]].append(block)
    for members in sorted(by_size.values(), key=lambda m: -m[0].shape[1] if len(m[0].shape) == 3 else 1):
        for block in members:
            columns[block.name] = max([start, *(columns[source] + 1 for source in block.inputs)])
        last = max(columns[block.name] for block in members)
        widest = max((block.shape for block in members), key=lambda shape: shape[0])
        stages.append(Stage(shape=widest, first=start, last=last))
        start = last + 1
    return columns, tuple(stages)


def _path(source: str, block: Block, columns: Mapping[str, int]) -> tuple[str, ...]:
    """Return the nodes of an edge, one for each column; those between the ends are named after it."""
    between = range(columns[source] + 1, columns[block.name])
    return (source, *(f"{source}>{block.name}>{column}" for column in between), block.name)


def _order(blocks: Sequence[Block], columns: Mapping[str, int], paths: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """Order each column by the barycentre of its neighbours, sweeping to and fro."""
    order: list[list[str]] = [[] for _ in range(max(columns.values()) + 1)]
    for block in blocks:
        order[columns[block.name]].append(block.name)
    for path in paths:
        for offset, node in enumerate(path[1:-1], start=1):
            order[columns[path[0]] + offset].append(node)
    left, right = _neighbours(paths)
    for sweep in range(_SWEEPS):
        beside = left if sweep % 2 == 0 else right
        for column in order if sweep % 2 == 0 else reversed(order):
            position = {node: i / max(1, len(nodes) - 1) for nodes in order for i, node in enumerate(nodes)}
            column.sort(key=lambda node: statistics.fmean([position[n] for n in beside[node]] or [position[node]]))
    return order


def _rows(order: Sequence[Sequence[str]], paths: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """Straighten: pull each node towards its neighbours, and keep the order and a distance of 1."""
    rows = {node: i - (len(nodes) - 1) / 2 for nodes in order for i, node in enumerate(nodes)}
    left, right = _neighbours(paths)
    for sweep in range(_SWEEPS):
        for nodes in order if sweep % 2 == 0 else reversed(order):
            wanted = [statistics.fmean([rows[n] for n in (*left[node], *right[node])] or [rows[node]]) for node in nodes]
            rows.update(zip(nodes, _apart(wanted), strict=True))
    return rows


def _apart(wanted: Sequence[float]) -> list[float]:
    """Move rising positions to at least 1 apart, as near to the wanted ones as least squares allows."""
    groups: list[tuple[float, int]] = []  # (mean of wanted - index, size): pool adjacent violators
    for index, value in enumerate(wanted):
        mean, size = value - index, 1
        while groups and groups[-1][0] > mean:
            before, count = groups.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        groups.append((mean, size))
    flat = [mean for mean, size in groups for _ in range(size)]
    return [mean + index for index, mean in enumerate(flat)]


def _neighbours(paths: Sequence[tuple[str, ...]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    left: dict[str, list[str]] = defaultdict(list)
    right: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for before, after in pairwise(path):
            right[before].append(after)
            left[after].append(before)
    return left, right
