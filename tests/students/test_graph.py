import pytest

from autokd_edge.core.student import INPUT, Add, AvgPool, BatchNorm, Conv2d, GlobalAvgPool, Linear, Relu, WeightedSum
from autokd_edge.students.graph import GraphWriter

IMAGE = (3, 10, 12)


def test_equal_layers_without_parameters_are_written_once():
    graph = GraphWriter(IMAGE)
    x = graph.put(Relu(), INPUT)
    assert graph.put(Relu(), INPUT) == x
    assert graph.put(AvgPool(kernel=2, stride=2), x) == graph.put(AvgPool(kernel=2, stride=2), x)
    assert graph.put(AvgPool(kernel=2, stride=2), x) != graph.put(AvgPool(kernel=3, stride=2), x)
    assert graph.put(Add(), x, INPUT) == graph.put(Add(), x, INPUT) != graph.put(Add(), INPUT, x)


@pytest.mark.parametrize("op", [Conv2d(out_channels=8, kernel=3), WeightedSum()], ids=["convolution", "merge"])
def test_equal_layers_with_parameters_are_different_layers(op):
    graph = GraphWriter(IMAGE)
    inputs = (INPUT, INPUT) if isinstance(op, WeightedSum) else (INPUT,)
    assert graph.put(op, *inputs) != graph.put(op, *inputs)


def test_the_writer_knows_channels_and_size_of_every_layer():
    graph = GraphWriter(IMAGE)
    x = graph.conv_norm(INPUT, 8, stride=2)
    assert (graph.channels(INPUT), graph.size(INPUT)) == (3, (10, 12))
    assert (graph.channels(x), graph.size(x)) == (8, (5, 6))


def test_a_depthwise_convolution_keeps_its_channels_apart():
    graph = GraphWriter(IMAGE)
    x = graph.conv_norm(INPUT, 3, depthwise=True)
    graph.put(GlobalAvgPool(), x)
    convolution, norm, _ = graph.spec(seed=0).layers
    assert convolution.op == Conv2d(out_channels=3, kernel=3, groups=3)
    assert norm.op == BatchNorm()


def test_layers_that_do_not_fit_are_refused_when_they_are_written():
    graph = GraphWriter(IMAGE)
    x = graph.put(Conv2d(out_channels=8, kernel=3), INPUT)
    with pytest.raises(ValueError, match="one shape"):
        graph.put(Add(), x, INPUT)
    with pytest.raises(ValueError, match="cannot read"):
        graph.put(Linear(out_features=3), x)


def test_the_last_layer_written_gives_the_logits():
    graph = GraphWriter(IMAGE)
    graph.put(Linear(out_features=5), graph.put(GlobalAvgPool(), graph.put(Relu(), graph.conv_norm(INPUT, 8))))
    spec = graph.spec(seed=9)
    assert (spec.classes, spec.seed, spec.input) == (5, 9, IMAGE)
    assert [layer.name for layer in spec.layers] == ["conv0", "norm1", "relu2", "gap3", "fc4"]
