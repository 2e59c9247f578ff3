import pytest
from contracts.family import FamilyContract
from students.networks import largest_difference

from autokd_edge.core.space import Point
from autokd_edge.core.student import Add, Conv2d, GlobalAvgPool, Task
from autokd_edge.students.cost import deployed_parameters
from autokd_edge.students.families.mbconv import MBConvFamily

SMALL = Task(image=(1, 28, 28), classes=10, channel_multiple=8)
LARGE = Task(image=(3, 64, 64), classes=5, channel_multiple=16)
FAMILY = MBConvFamily()


@pytest.fixture
def family():
    return MBConvFamily()


class TestSmallImages(FamilyContract):
    @pytest.fixture
    def task(self):
        return Task(image=(1, 9, 13), classes=4, channel_multiple=8)


class TestLargeImages(FamilyContract):
    @pytest.fixture
    def task(self):
        return LARGE


def point(task=SMALL, **others) -> Point:
    values = {"stem": "full", "width": FAMILY.space(task).parameters[1].values[10]}
    for stage in range(1, 4 + (task is LARGE)):
        values |= {f"depth_{stage}": 2, f"block_{stage}": "inverted", f"kernel_{stage}": 3, f"expansion_{stage}": 4}
    return FAMILY.space(task).point({**values, **others})


def convolutions(spec):
    return [layer.op for layer in spec.layers if isinstance(layer.op, Conv2d)]


def test_every_stage_has_its_depth_kernel_and_expansion():
    spec = FAMILY.spec(point(depth_1=1, depth_2=2, depth_3=3, kernel_2=5, kernel_3=3, expansion_3=6), SMALL, 0)
    depthwise = [layer.op for layer in spec.layers if isinstance(layer.op, Conv2d) and layer.op.groups == spec.in_channels(layer) > 1]
    assert [op.kernel for op in depthwise] == [3, 5, 5, 3, 3, 3]
    assert [op.stride for op in depthwise] == [1, 2, 1, 2, 1, 1]
    assert depthwise[-1].out_channels == 6 * spec.shapes[[layer.name for layer in spec.layers if isinstance(layer.op, Add)][-1]][0]


def test_an_expansion_of_one_leaves_the_first_convolution_of_a_block_out():
    counts = [len(convolutions(FAMILY.spec(point(expansion_2=expansion), SMALL, 0))) for expansion in (1, 4)]
    assert counts[1] - counts[0] == 2  # one in each of the two blocks


def test_a_fused_block_is_one_dense_convolution_in_place_of_the_first_two():
    """EfficientNetV2's (arXiv 2104.00298, figure 2): 3x3 to the inner channels, 1x1 back; with expansion 1 the 3x3 alone."""
    spec = FAMILY.spec(point(block_1="fused", block_2="fused", block_3="fused", expansion_2=1, kernel_3=5), SMALL, 0)
    stem, *blocks, head = convolutions(spec)
    assert [(op.kernel, op.stride) for op in blocks] == [(3, 1), (1, 1)] * 2 + [(3, 2), (3, 1)] + [(5, 2), (1, 1), (5, 1), (1, 1)]
    assert all(op.groups == 1 for op in (stem, *blocks, head))
    assert blocks[0].out_channels == 4 * stem.out_channels
    assert sum(isinstance(layer.op, Add) for layer in spec.layers) == 4  # the first block keeps the stem's channels, two change them


def test_a_last_stage_without_blocks_leaves_its_parameters_without_effect():
    assert point(depth_3=0, kernel_3=3) == point(depth_3=0, kernel_3=5)
    assert "kernel_3" not in point(depth_3=0)
    spec = FAMILY.spec(point(depth_3=0), SMALL, 0)
    (last,) = (spec.shapes[layer.inputs[0]][1:] for layer in spec.layers if isinstance(layer.op, GlobalAvgPool))
    assert last == (14, 14)


@pytest.mark.parametrize(("task", "stem", "last"), [(SMALL, "full", 7), (SMALL, "halved", 4), (LARGE, "full", 4), (LARGE, "halved", 2)])
def test_the_stem_says_how_often_an_image_is_halved(task, stem, last):
    spec = FAMILY.spec(point(task, stem=stem, width=FAMILY.space(task).parameters[1].values[8]), task, 0)
    (pooled,) = (spec.shapes[layer.inputs[0]][1:] for layer in spec.layers if isinstance(layer.op, GlobalAvgPool))
    assert pooled == (last, last)


@pytest.mark.parametrize("task", [SMALL, LARGE], ids=["small", "large"])
def test_the_channels_are_the_largest_that_keep_the_parameter_budget(task):
    for budget in FAMILY.space(task).parameters[1].values[8:]:
        spec = FAMILY.spec(point(task, width=budget), task, 0)
        assert 0.6 * budget < deployed_parameters(spec) <= budget


@pytest.mark.parametrize("task", [SMALL, LARGE], ids=["small", "large"])
def test_both_lowerings_compute_the_same_numbers(task):
    for index, (stem, block) in enumerate((("full", "inverted"), ("halved", "fused"))):
        values = {"stem": stem, "kernel_2": 5, "block_1": block, "width": FAMILY.space(task).parameters[1].values[6 + index]}
        difference, largest = largest_difference(FAMILY.spec(point(task, **values), task, index), seed=index)
        assert difference <= 1e-4
        assert largest > 0.01
