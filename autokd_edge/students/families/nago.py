"""NAGO: three levels of random graphs (Ru, Esperança, Carlucci, NeurIPS 2020, arXiv 2004.01395).

A graph of cells (Watts-Strogatz), in each cell a graph (Erdős-Rényi) of graphs of operations
(Watts-Strogatz). Edges go from the lower to the higher node. Marked "choice" is what the paper does
not fix or what its public code gets wrong; docs/decisions/0002-nago.md has the reasons.

Notation: N nodes, K neighbours, P probability; t top, m middle, b bottom level.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from autokd_edge.core.space import Choice, Integer, Ordinal, Point, Real, SearchSpace, When
from autokd_edge.core.student import INPUT, AvgPool, Conv2d, Dropout, GlobalAvgPool, Linear, Mean, Relu, StudentSpec, Task, WeightedSum
from autokd_edge.students.cost import deployed_parameters
from autokd_edge.students.graph import GraphWriter

SMALL_IMAGE = 40  # pixels; below it the stem keeps the resolution (NAGO)
RATIOS = (1, 2, 4)  # channels of the three stages (NAGO)
WIDTH_SMALL = (20_000, 1_000_000)  # parameter budget for small images (choice; NAGO trains 4 M)
WIDTH_LARGE = (200_000, 6_000_000)
WIDTHS = 18  # budgets to choose from, each 1.26 times the one before (choice)
DROPOUT = 0.1  # before the classifier (choice)
WIDEST = 64  # multiples of the smallest width that the solver may take
MEMBERS = 8  # of the best family that are taught in full (NAGO)
HEAD = 2  # channels of the 1x1 head, in widths of the last stage (choice)


class NagoFamily:
    """NAGO's generator with eight graph parameters, a parameter budget and an operation type."""

    name = "nago"

    def space(self, task: Task) -> SearchSpace:
        """Return the ten parameters; K is 2 or 4 because networkx rounds odd K down, N = 3 leaves K and P no choice."""
        low, high = WIDTH_SMALL if max(task.image[1:]) < SMALL_IMAGE else WIDTH_LARGE
        return SearchSpace(
            parameters=(
                Integer(name="N_t", low=3, high=10, log=True),
                Choice(name="K_t", values=(2, 4), when=When(parameter="N_t", above=3)),
                Real(name="P_t", low=0.1, high=0.9, when=When(parameter="N_t", above=3)),
                Integer(name="N_m", low=1, high=10, log=True),
                Real(name="P_m", low=0.1, high=0.9, when=When(parameter="N_m", above=1)),
                Integer(name="N_b", low=3, high=10, log=True),
                Choice(name="K_b", values=(2, 4), when=When(parameter="N_b", above=3)),
                Real(name="P_b", low=0.1, high=0.9, when=When(parameter="N_b", above=3)),
                Ordinal(name="width", values=_budgets(low, high)),
                Choice(name="op", values=("conv3x3", "separable")),
            )
        )

    def members(self, architecture: Point) -> int:  # noqa: ARG002  the port's
        """Return how many members the paper teaches of its best family."""
        return MEMBERS

    def spec(self, architecture: Point, task: Task, index: int) -> StudentSpec:
        """Draw member ``index`` and widen it to the largest channels within the parameter budget."""
        wiring = _draw(architecture, index)
        separable = architecture["op"] == "separable"
        seed = _seed(architecture, index, "weights")

        def at(step: int) -> StudentSpec:
            return _write(wiring, task, _channels(step, task.channel_multiple), separable=separable, seed=seed)

        steps = range(1, WIDEST * RATIOS[-1] + 1)
        budget = architecture.integer("width")
        widest = bisect_right(steps, budget, key=lambda step: deployed_parameters(at(step)))
        return at(max(1, widest))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dag:
    """A directed acyclic graph: for each node, in order, its lower neighbours."""

    lower: tuple[tuple[int, ...], ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """Return the nodes without a higher neighbour."""
        read = {u for lower in self.lower for u in lower}
        return tuple(v for v in range(len(self.lower)) if v not in read)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    middle: _Dag
    bottom: tuple[_Dag, ...]  # one for each middle node


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wiring:
    top: _Dag
    cells: tuple[_Cell, ...]


def _budgets(low: int, high: int) -> tuple[int, ...]:
    """Return parameter budgets in equal ratios; channels move in multiples, so finer steps would only make duplicates."""
    ratio = high / low
    return tuple(int(float(f"{low * ratio ** (step / (WIDTHS - 1)):.2g}")) for step in range(WIDTHS))


def _draw(architecture: Point, index: int) -> _Wiring:
    def small_world(level: str, path: str) -> _Dag:
        nodes = architecture.integer(f"N_{level}")
        if f"K_{level}" not in architecture:
            return _dag(nx.complete_graph(nodes))
        seed = _seed(architecture, index, path)
        return _dag(_watts_strogatz(nodes, architecture.integer(f"K_{level}"), architecture.number(f"P_{level}"), seed))

    def erdos_renyi(path: str) -> _Dag:
        nodes = architecture.integer("N_m")
        if nodes == 1:
            return _Dag(lower=((),))
        return _dag(nx.gnp_random_graph(nodes, architecture.number("P_m"), seed=_seed(architecture, index, path)))

    cells = []
    for cell in range(architecture.integer("N_t")):
        middle = erdos_renyi(f"cell {cell}")
        bottom = tuple(small_world("b", f"cell {cell} node {node}") for node in range(len(middle.lower)))
        cells.append(_Cell(middle=middle, bottom=bottom))
    return _Wiring(top=small_world("t", "top"), cells=tuple(cells))


def _watts_strogatz(nodes: int, neighbours: int, probability: float, seed: int) -> nx.Graph:
    if neighbours >= nodes:
        return nx.complete_graph(nodes)
    return nx.watts_strogatz_graph(nodes, neighbours, probability, seed=seed)


def _dag(graph: nx.Graph) -> _Dag:
    """Direct the edges upwards; components are joined at their lowest nodes, without another draw (choice)."""
    heads = sorted(min(component) for component in nx.connected_components(graph))
    edges = {(min(edge), max(edge)) for edge in graph.edges} | set(pairwise(heads))
    return _Dag(lower=tuple(tuple(sorted(u for u, w in edges if w == v)) for v in range(graph.number_of_nodes())))


def _write(wiring: _Wiring, task: Task, channels: tuple[int, int, int], *, separable: bool, seed: int) -> StudentSpec:
    graph = GraphWriter(task.image)
    stem = _stem(graph, channels[0], small=max(task.image[1:]) < SMALL_IMAGE)
    sizes = _stage_sizes(graph.size(stem))
    count = len(wiring.cells)
    stages = [len(RATIOS) * node // count for node in range(count)]

    def fitted(x: str, stage: int) -> str:  # the pooling first: the 1x1 convolution is cheaper on the smaller image
        x = _pooled(graph, x, sizes[stage])
        return x if graph.channels(x) == channels[stage] else graph.put(Conv2d(out_channels=channels[stage], kernel=1), x)

    def cell(node: int, sources: tuple[str, ...]) -> str:
        stage = stages[node]
        x = _merged(graph, tuple(fitted(s, stage) for s in sources))
        drawn = wiring.cells[node]

        def block(inner: int, inputs: tuple[str, ...]) -> str:
            merged = _merged(graph, inputs)
            leaves = drawn.bottom[inner]
            return _compose(graph, leaves, merged, lambda _, xs: _operation(graph, xs, channels[stage], separable=separable))

        return _compose(graph, drawn.middle, x, block)

    values = _nodes(wiring.top, stem, cell)
    outputs = tuple(fitted(values[node], len(RATIOS) - 1) for node in wiring.top.outputs)
    x = graph.put(Mean(), *outputs) if len(outputs) > 1 else outputs[0]
    x = graph.put(Relu(), graph.conv_norm(x, HEAD * channels[-1], 1))
    x = graph.put(Dropout(rate=DROPOUT), graph.put(GlobalAvgPool(), x))
    graph.put(Linear(out_features=task.classes), x)
    return graph.spec(seed=seed)


def _nodes(dag: _Dag, source: str, node: Callable[[int, tuple[str, ...]], str]) -> list[str]:
    """Write the nodes in order; one without lower neighbours reads the source."""
    values: list[str] = []
    for number, lower in enumerate(dag.lower):
        values.append(node(number, tuple(values[u] for u in lower) or (source,)))
    return values


def _compose(graph: GraphWriter, dag: _Dag, source: str, node: Callable[[int, tuple[str, ...]], str]) -> str:
    """Write a sub-graph; its result is the mean of its output nodes."""
    values = _nodes(dag, source, node)
    outputs = tuple(values[number] for number in dag.outputs)
    return graph.put(Mean(), *outputs) if len(outputs) > 1 else outputs[0]


def _operation(graph: GraphWriter, inputs: tuple[str, ...], channels: int, *, separable: bool) -> str:
    """ReLU, 3x3 convolution (or depthwise and 1x1), batch norm."""
    x = graph.put(Relu(), _merged(graph, inputs))
    if not separable:
        return graph.conv_norm(x, channels)
    x = graph.put(Conv2d(out_channels=channels, kernel=3, groups=channels), x)
    return graph.conv_norm(x, channels, 1)


def _merged(graph: GraphWriter, inputs: tuple[str, ...]) -> str:
    return inputs[0] if len(inputs) == 1 else graph.put(WeightedSum(), *inputs)


def _stem(graph: GraphWriter, channels: int, *, small: bool) -> str:
    if small:
        return graph.conv_norm(graph.put(Relu(), graph.conv_norm(INPUT, channels)), channels)
    x = graph.conv_norm(INPUT, channels, stride=2)
    x = graph.conv_norm(graph.put(Relu(), x), channels, stride=2, depthwise=True)
    return graph.conv_norm(x, channels, 1)


def _stage_sizes(size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Halve the size for each stage as long as the shorter side allows it."""
    halvings = [min(stage, min(size).bit_length() - 1) for stage in range(len(RATIOS))]
    return tuple((size[0] >> n, size[1] >> n) for n in halvings)


def _pooled(graph: GraphWriter, x: str, size: tuple[int, int]) -> str:
    """Average down to a stage's size, adaptively where it divides; else the windows overlap to reach the border (choice)."""
    height, width = graph.size(x)
    if (height, width) == size:
        return x
    stride = 1 << (height.bit_length() - size[0].bit_length())
    kernel = stride + min(height % stride, width % stride)  # a wider one would lose a window of one side
    return graph.put(AvgPool(kernel=kernel, stride=stride), x)


def _channels(step: int, multiple: int) -> tuple[int, int, int]:
    """Channels of the stages for a step of the width; the widest stage grows by one multiple a step."""
    widths = [max(1, round(step * ratio / RATIOS[-1])) * multiple for ratio in RATIOS]
    return widths[0], widths[1], widths[2]


def _seed(architecture: Point, index: int, path: str) -> int:
    text = f"{architecture.values!r} {index} {path}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
