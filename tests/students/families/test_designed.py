"""The hand-designed networks are the published ones; torchvision's documentation has the counts of three."""

import pytest
from contracts.family import FamilyContract
from students.networks import DESIGNED

from autokd_edge.core.space import Point
from autokd_edge.core.student import GlobalAvgPool, Task
from autokd_edge.students.cost import deployed_parameters, macs, trainable_parameters
from autokd_edge.students.families.mobilenet import mobilenet_v2_spec, mobilenet_v3_small_spec
from autokd_edge.students.families.resnet import resnet8_spec
from autokd_edge.students.families.shufflenet import shufflenet_v2_spec

IMAGENET = Task(image=(3, 224, 224), classes=1000, channel_multiple=8)
CIFAR = Task(image=(3, 32, 32), classes=10, channel_multiple=8)


class TestDesignedFamilies(FamilyContract):
    keeps_the_channel_multiple = False

    @pytest.fixture(params=DESIGNED, ids=lambda make: make.__name__)
    def family(self, request):
        return request.param()

    @pytest.fixture
    def task(self):
        return Task(image=(1, 9, 13), classes=4, channel_multiple=8)

    def test_a_family_is_one_network_whatever_the_index(self, family, task):
        specs = [family.spec(Point(values=()), task, index) for index in range(3)]
        assert len({spec.layers for spec in specs}) == 1
        assert family.members(Point(values=())) == 1


@pytest.mark.parametrize(
    ("spec", "parameters", "mega_macs"),
    [
        (mobilenet_v2_spec(IMAGENET, 1.0, seed=0), 3_504_872, 300.8),
        (mobilenet_v3_small_spec(IMAGENET, 1.0, seed=0), 2_542_856, 56.5),
        (shufflenet_v2_spec(IMAGENET, seed=0), 1_366_792, 40.5),
    ],
    ids=["MobileNetV2", "MobileNetV3-small", "ShuffleNetV2 x0.5"],
)
def test_at_the_published_width_and_image_the_counts_are_the_published_ones(spec, parameters, mega_macs):
    assert trainable_parameters(spec) == parameters
    assert macs(spec) / 1e6 == pytest.approx(mega_macs, abs=0.05)


def test_resnet8_has_the_78_666_parameters_of_the_benchmarks_keras_network():
    spec = resnet8_spec(CIFAR, seed=0)
    batch_norms = 4 * (3 * 16 + 2 * 32 + 2 * 64)
    assert deployed_parameters(spec) + batch_norms == 78_666
    assert macs(spec) / 1e6 == pytest.approx(12.5, abs=0.05)


@pytest.mark.parametrize(("size", "last"), [(224, 7), (96, 3), (64, 4), (32, 4), (28, 4), (8, 4)])
@pytest.mark.parametrize("make", [make for make in DESIGNED if make.__name__ != "resnet8"])
def test_on_smaller_images_the_last_map_keeps_three_pixels(make, size, last):
    spec = make().spec(Point(values=()), Task(image=(3, size, size), classes=10, channel_multiple=8), 0)
    pooled = [spec.shapes[layer.inputs[0]][1:] for layer in spec.layers if isinstance(layer.op, GlobalAvgPool)]
    assert pooled[-1] == (last, last)


@pytest.mark.parametrize(("size", "last"), [(8, 2), (32, 8), (64, 8), (128, 8), (224, 14)])
def test_resnet8_halves_large_images_in_its_stem(size, last):
    spec = resnet8_spec(Task(image=(3, size, size), classes=10, channel_multiple=8), seed=0)
    (pooled,) = (spec.shapes[layer.inputs[0]][1:] for layer in spec.layers if isinstance(layer.op, GlobalAvgPool))
    assert pooled == (last, last)
