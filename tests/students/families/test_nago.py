import math

import hypothesis.strategies as st
import networkx as nx
import pytest
from contracts.family import FamilyContract
from hypothesis import given, settings
from students.networks import nago_point

from autokd_edge.core.student import INPUT, AvgPool, Conv2d, Dropout, GlobalAvgPool, Linear, Mean, Relu, Task, WeightedSum
from autokd_edge.students.cost import deployed_parameters
from autokd_edge.students.families.nago import WIDTH_LARGE, WIDTH_SMALL, NagoFamily, _draw

SMALL = Task(image=(1, 28, 28), classes=10, channel_multiple=8)
LARGE = Task(image=(3, 64, 64), classes=5, channel_multiple=16)
FAMILY = NagoFamily()


@pytest.fixture
def family():
    return NagoFamily()


class TestSmallImages(FamilyContract):
    @pytest.fixture
    def task(self):
        return Task(image=(1, 9, 13), classes=4, channel_multiple=8)


class TestLargeImages(FamilyContract):
    @pytest.fixture
    def task(self):
        return LARGE


def layers_of(spec, kind):
    return [layer for layer in spec.layers if isinstance(layer.op, kind)]


def test_the_space_has_ten_parameters_and_conditions_where_one_has_no_effect():
    space = FAMILY.space(SMALL)
    assert [p.name for p in space.parameters] == ["N_t", "K_t", "P_t", "N_m", "P_m", "N_b", "K_b", "P_b", "width", "op"]
    least, most = space.at([0.0] * 10), space.at([1.0] * 10)
    assert [name for name, _ in least] == ["N_t", "N_m", "N_b", "width", "op"]
    assert len(most.values) == 10
    assert (least["N_m"], most["N_m"], least["N_t"], most["N_t"]) == (1, 10, 3, 10)


@pytest.mark.parametrize(("task", "bounds"), [(SMALL, WIDTH_SMALL), (LARGE, WIDTH_LARGE)], ids=["small", "large"])
def test_budgets_of_width_rise_in_equal_ratios_within_the_bounds_of_the_task(task, bounds):
    (width,) = (p for p in FAMILY.space(task).parameters if p.name == "width")
    assert (width.values[0], width.values[-1]) == bounds
    ratios = [b / a for a, b in zip(width.values, width.values[1:], strict=False)]
    assert all(ratio == pytest.approx(math.prod(ratios) ** (1 / len(ratios)), rel=0.06) for ratio in ratios)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(unit=st.tuples(*[st.floats(0, 1)] * 10), height=st.integers(1, 48), width=st.integers(1, 48), index=st.integers(0, 7))
def test_every_point_and_every_image_size_give_a_network(unit, height, width, index):
    task = Task(image=(2, height, width), classes=3, channel_multiple=8)
    point = FAMILY.space(task).at([unit[0] * 0.6, *unit[1:3], unit[3] * 0.5, unit[4], unit[5] * 0.6, *unit[6:]])
    spec = FAMILY.spec(point, task, index)
    assert (spec.input, spec.classes) == (task.image, 3)
    narrowest = {layer.op.out_channels for layer in layers_of(spec, Conv2d)} <= {8, 16}  # 16 in the head
    assert narrowest or deployed_parameters(spec) <= point.integer("width")


@pytest.mark.parametrize("image", [(1, 5, 40), (1, 39, 5), (3, 100, 41), (1, 7, 31)])
def test_oblong_images_whose_sides_do_not_halve_evenly_give_networks(image):
    task = Task(image=image, classes=3, channel_multiple=8)
    for index in range(6):
        FAMILY.spec(nago_point(task, N_t=6, K_t=4), task, index)


@pytest.mark.parametrize("op", ["conv3x3", "separable"])
def test_the_width_fills_its_budget_and_never_exceeds_it(op):
    (width,) = (p for p in FAMILY.space(SMALL).parameters if p.name == "width")
    for index, budget in enumerate(width.values):
        point = nago_point(SMALL, N_b=4, K_b=2, P_b=0.5, width=budget, op=op)
        parameters = deployed_parameters(FAMILY.spec(point, SMALL, index))
        assert parameters <= budget
        assert parameters > 0.45 * budget  # the widest stage grows by 8 channels a step: coarse for the smallest


def test_a_graph_that_is_too_large_for_its_budget_gets_the_smallest_width():
    point = nago_point(SMALL, N_t=10, K_t=2, N_m=4, N_b=10, K_b=2)
    spec = FAMILY.spec(point, SMALL, 0)
    assert deployed_parameters(spec) > point.integer("width")
    assert {layer.op.out_channels for layer in layers_of(spec, Conv2d)} == {8, 16}  # 16 in the head


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(8))
def test_every_layer_of_a_sparse_graph_lies_on_a_way_from_the_image_to_the_logits(probability, seed):
    point = nago_point(SMALL, N_t=10, K_t=2, P_t=probability, N_m=3, P_m=0.1, N_b=10, K_b=2, P_b=probability)
    spec = FAMILY.spec(point, SMALL, seed)
    wires = nx.DiGraph((name, layer.name) for layer in spec.layers for name in layer.inputs)
    assert set(wires) == {INPUT, *(layer.name for layer in spec.layers)}
    assert nx.descendants(wires, INPUT) == set(wires) - {INPUT}
    assert nx.ancestors(wires, spec.output) == set(wires) - {spec.output}


@pytest.mark.parametrize("index", range(4))
def test_the_graphs_of_all_three_levels_are_connected_however_sparse(index):
    point = nago_point(SMALL, N_t=10, K_t=2, P_t=0.9, N_m=10, P_m=0.1, N_b=10, K_b=2, P_b=0.9)
    drawn = _draw(point, index)
    levels = [drawn.top, *(cell.middle for cell in drawn.cells), *(dag for cell in drawn.cells for dag in cell.bottom)]
    assert len(levels) == 1 + 10 + 100
    for dag in levels:
        graph = nx.Graph((u, v) for v, lower in enumerate(dag.lower) for u in lower)
        assert sorted(graph) == list(range(10))
        assert nx.is_connected(graph)
        assert all(u < v for v, lower in enumerate(dag.lower) for u in lower)  # edges go upwards


def test_every_operation_is_drawn_and_none_is_lost():
    for op, each in (("conv3x3", 1), ("separable", 2)):
        spec = FAMILY.spec(nago_point(SMALL, N_t=5, K_t=2, N_m=2, N_b=4, K_b=2, op=op), SMALL, 0)
        kernels = [layer.op.kernel for layer in layers_of(spec, Conv2d)]
        assert kernels.count(3) == 2 + 5 * 2 * 4  # the stem's two and one for each operation
        depthwise = [layer for layer in layers_of(spec, Conv2d) if layer.op.groups > 1]
        assert len(depthwise) == (each - 1) * 5 * 2 * 4


def test_cells_lie_in_three_stages_that_halve_the_image_and_double_the_channels():
    spec = FAMILY.spec(nago_point(SMALL, N_t=6, K_t=2, width=FAMILY.space(SMALL).at([1] * 10)["width"]), SMALL, 0)
    convolutions = [spec.shapes[layer.name] for layer in layers_of(spec, Conv2d) if layer.op.kernel == 3][2:]
    by_size = {shape[1:]: shape[0] for shape in convolutions}
    assert list(by_size) == [(28, 28), (14, 14), (7, 7)]
    first, second, third = by_size.values()
    assert first == pytest.approx(third / 4, abs=SMALL.channel_multiple / 2)
    assert second == pytest.approx(third / 2, abs=SMALL.channel_multiple / 2)
    sizes = [shape[1] for shape in convolutions]
    assert [sizes.count(size) for size in (28, 14, 7)] == [6, 6, 6]  # two cells of three operations each


def test_small_images_keep_their_resolution_and_large_ones_are_reduced_four_times():
    small = FAMILY.spec(nago_point(SMALL), SMALL, 0)
    large = FAMILY.spec(nago_point(LARGE), LARGE, 0)
    assert small.shapes[layers_of(small, Conv2d)[1].name][1:] == (28, 28)
    stem = layers_of(large, Conv2d)[:3]
    assert [(layer.op.kernel, layer.op.stride) for layer in stem] == [(3, 2), (3, 2), (1, 1)]
    assert large.shapes[stem[-1].name][1:] == (16, 16)


def test_the_head_pools_drops_out_and_classifies():
    spec = FAMILY.spec(nago_point(SMALL), SMALL, 0)
    assert [type(layer.op) for layer in spec.layers[-4:]] == [Relu, GlobalAvgPool, Dropout, Linear]


def test_where_a_size_divides_the_pooling_is_adaptive_average_pooling():
    spec = FAMILY.spec(nago_point(SMALL, N_t=6, K_t=4, P_t=0.9), SMALL, 3)
    pools = {layer.op for layer in layers_of(spec, AvgPool)}
    assert pools
    assert all(pool.kernel == pool.stride for pool in pools)


def test_odd_sizes_are_pooled_with_windows_that_reach_the_border():
    task = Task(image=(1, 17, 17), classes=3, channel_multiple=8)
    spec = FAMILY.spec(nago_point(task), task, 0)
    pools = {(spec.shapes[layer.inputs[0]][1:], layer.op.kernel, layer.op.stride) for layer in layers_of(spec, AvgPool)}
    assert pools == {((17, 17), 3, 2), ((17, 17), 5, 4), ((8, 8), 2, 2)}


def test_merges_have_a_scalar_for_each_input_and_results_are_means_of_outputs():
    spec = FAMILY.spec(nago_point(SMALL, N_t=6, K_t=4, N_b=6, K_b=4), SMALL, 1)
    assert layers_of(spec, WeightedSum)
    assert all(len(layer.inputs) > 1 for layer in layers_of(spec, WeightedSum) + layers_of(spec, Mean))


def test_members_of_a_family_are_different_networks_of_one_size():
    point = nago_point(SMALL, N_t=6, K_t=2, P_t=0.9, N_b=6, K_b=2, P_b=0.9, width=FAMILY.space(SMALL).at([0.5] * 10)["width"])
    specs = [FAMILY.spec(point, SMALL, index) for index in range(8)]
    assert len({tuple(layer.inputs for layer in spec.layers) for spec in specs}) == 8
    counts = [sum(isinstance(layer.op, Conv2d) and layer.op.kernel == 3 for layer in spec.layers) for spec in specs]
    assert len(set(counts)) == 1
