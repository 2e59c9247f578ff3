import itertools

import pytest
from fakes.study import sample_spec

from autokd_edge.core.space import Point
from autokd_edge.core.student import (
    INPUT,
    Add,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    HardSigmoid,
    Layer,
    Linear,
    MaxPool,
    Op,
    Relu,
    Scale,
    StudentSpec,
    Task,
    WeightedSum,
)
from autokd_edge.report.layout import Block, Layout, blocks_of, place
from autokd_edge.students.families.mobilenet import mobilenet_v3_small_half
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.families.shufflenet import shufflenet_v2_half

TASK = Task(image=(1, 28, 28), classes=10, channel_multiple=8)


def network(*layers: tuple[str, Op, tuple[str, ...]]) -> StudentSpec:
    made = tuple(Layer(name=name, op=op, inputs=inputs) for name, op, inputs in layers)
    last = made[-1].name
    head = (Layer(name="gap", op=GlobalAvgPool(), inputs=(last,)), Layer(name="fc", op=Linear(out_features=3), inputs=("gap",)))
    return StudentSpec(input=(4, 8, 8), layers=(*made, *head), seed=0)


def conv(groups: int = 1, kernel: int = 3, stride: int = 1) -> Conv2d:
    return Conv2d(out_channels=4, kernel=kernel, groups=groups, stride=stride)


def named(spec: StudentSpec) -> dict[str, Block]:
    return {block.name: block for block in blocks_of(spec)}


def test_normalisation_activation_and_dropout_belong_to_their_convolution() -> None:
    blocks = named(
        network(
            ("a", conv(), (INPUT,)),
            ("n", BatchNorm(), ("a",)),
            ("r", Relu(), ("n",)),
            ("d", Dropout(rate=0.1), ("r",)),
            ("b", conv(stride=2), ("d",)),
        )
    )
    assert list(blocks) == [INPUT, "a", "b", "fc"]
    assert blocks["b"].inputs == ("a",)
    assert blocks["b"].label == "3\N{MULTIPLICATION SIGN}3 convolution, stride 2"
    assert blocks["b"].shape == (4, 4, 4)
    assert blocks["fc"].kind == "head"


def test_a_depthwise_convolution_belongs_to_the_pointwise_one_behind_it() -> None:
    blocks = named(
        network(
            ("a", conv(), (INPUT,)),
            ("dw", conv(groups=4), ("a",)),
            ("n", BatchNorm(), ("dw",)),
            ("pw", conv(kernel=1), ("n",)),
            ("p", conv(kernel=1), ("pw",)),
        )
    )
    assert blocks["pw"].kind == "separable"
    assert blocks["pw"].label == "3\N{MULTIPLICATION SIGN}3 depthwise-separable convolution"
    assert blocks["pw"].inputs == ("a",)
    assert blocks["p"].kind == "pointwise"


def test_a_depthwise_convolution_that_two_read_stays() -> None:
    blocks = named(network(("dw", conv(groups=4), (INPUT,)), ("a", conv(kernel=1), ("dw",)), ("s", Add(), ("dw", "a"))))
    assert blocks["dw"].kind == "conv"
    assert blocks["a"].kind == "pointwise"


def test_a_merge_that_one_convolution_reads_is_drawn_as_lines_into_it() -> None:
    blocks = named(
        network(
            ("a", conv(), (INPUT,)), ("b", conv(), ("a",)), ("m", WeightedSum(), ("a", "b")), ("r", Relu(), ("m",)), ("c", conv(), ("r",))
        )
    )
    assert "m" not in blocks
    assert blocks["c"].inputs == ("a", "b")


def test_a_merge_that_two_read_is_a_block() -> None:
    blocks = named(
        network(
            ("a", conv(), (INPUT,)),
            ("m", Add(), (INPUT, "a")),
            ("b", conv(), ("m",)),
            ("c", conv(), ("m",)),
            ("s", Add(), ("b", "c")),
        )
    )
    assert blocks["m"].kind == "merge"
    assert blocks["m"].label == "sum"
    assert blocks["b"].inputs == blocks["c"].inputs == ("m",)


def test_a_gate_is_one_block_beside_its_image_and_rearranged_channels_are_lines() -> None:
    blocks = named(
        network(
            ("a", conv(), (INPUT,)),
            ("g", GlobalAvgPool(), ("a",)),
            ("l", Linear(out_features=4), ("g",)),
            ("h", HardSigmoid(), ("l",)),
            ("s", Scale(), ("a", "h")),
            ("p", ChannelSlice(start=0, stop=2), ("s",)),
            ("c", Concat(), ("p", "s")),
            ("q", ChannelShuffle(groups=2), ("c",)),
            ("m", MaxPool(kernel=3, stride=2), ("q",)),
        )
    )
    assert [(block.name, block.kind) for block in blocks.values()][1:-1] == [("a", "conv"), ("s", "merge"), ("c", "merge"), ("m", "pool")]
    assert blocks["s"].inputs == ("a",)
    assert blocks["s"].label == "squeeze-and-excite"
    assert blocks["c"].inputs == ("s",)


def random_member(index: int) -> StudentSpec:
    family = NagoFamily()
    space = family.space(TASK)
    position = [(0.137 * (index + 1) * (i + 1)) % 1.0 for i in range(len(space))]
    return family.spec(space.at(position), TASK, index)


def layouts() -> list[tuple[StudentSpec, Layout]]:
    designed = [make().spec(Point(values=()), TASK, 0) for make in (mobilenet_v3_small_half, shufflenet_v2_half)]
    return [(spec, place(blocks_of(spec))) for spec in (sample_spec(), *designed, *(random_member(index) for index in range(4)))]


LAYOUTS = layouts()


@pytest.mark.parametrize(("spec", "layout"), LAYOUTS, ids=lambda v: f"{len(v.layers)}-layers" if isinstance(v, StudentSpec) else "")
def test_every_line_runs_from_left_to_right_through_each_column(spec: StudentSpec, layout: Layout) -> None:
    assert sum(len(block.inputs) for block in layout.blocks) == len(layout.edges)
    for path in layout.edges:
        columns = [column for column, _ in path]
        assert columns == list(range(columns[0], columns[-1] + 1))
        assert len(columns) > 1
    assert layout.blocks[-1].name == spec.output


@pytest.mark.parametrize(("spec", "layout"), LAYOUTS, ids=lambda v: f"{len(v.layers)}-layers" if isinstance(v, StudentSpec) else "")
def test_no_two_blocks_overlap(spec: StudentSpec, layout: Layout) -> None:
    assert len(layout.places) == len(blocks_of(spec))
    for a, b in itertools.combinations(layout.places.values(), 2):
        assert a[0] != b[0] or abs(a[1] - b[1]) >= 1 - 1e-9


@pytest.mark.parametrize(("spec", "layout"), LAYOUTS, ids=lambda v: f"{len(v.layers)}-layers" if isinstance(v, StudentSpec) else "")
def test_each_resolution_has_columns_of_its_own(spec: StudentSpec, layout: Layout) -> None:
    del spec
    assert layout.stages[0].first == 0
    for before, after in itertools.pairwise(layout.stages):
        assert after.first == before.last + 1
    for block in layout.blocks:
        (stage,) = (stage for stage in layout.stages if stage.first <= layout.places[block.name][0] <= stage.last)
        assert stage.shape[1:] == block.shape[1:]


def test_a_chain_is_a_straight_line() -> None:
    layout = place(blocks_of(network(*((f"c{i}", conv(), (INPUT if i == 0 else f"c{i - 1}",)) for i in range(6)))))
    assert {row for _, row in layout.places.values()} == {0.0}


def test_lines_that_need_not_cross_do_not() -> None:
    ladder = network(
        ("a0", conv(), (INPUT,)),
        ("b0", conv(), (INPUT,)),
        ("b1", conv(), ("b0",)),
        ("a1", conv(), ("a0",)),
        ("a2", conv(), ("a1",)),
        ("b2", conv(), ("b1",)),
        ("s", Add(), ("a2", "b2")),
    )
    places = place(blocks_of(ladder)).places
    signs = {places[f"a{i}"][1] > places[f"b{i}"][1] for i in range(3)}
    assert len(signs) == 1
