import pytest
from fakes.study import sample_spec

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
    HardSwish,
    Layer,
    Linear,
    MaxPool,
    Mean,
    Op,
    Relu,
    Scale,
    Shape,
    StudentSpec,
    WeightedSum,
    parameter_shapes,
    shape_after,
)


def layer(op: Op, *inputs: str, name: str = "x") -> Layer:
    return Layer(name=name, op=op, inputs=inputs or (INPUT,))


@pytest.mark.parametrize(
    ("op", "before", "after"),
    [
        (Conv2d(out_channels=8, kernel=3), (3, 28, 28), (8, 28, 28)),
        (Conv2d(out_channels=8, kernel=3, stride=2), (3, 28, 28), (8, 14, 14)),
        (Conv2d(out_channels=8, kernel=3, stride=2), (3, 7, 7), (8, 4, 4)),
        (Conv2d(out_channels=8, kernel=1, stride=2), (3, 7, 7), (8, 4, 4)),
        (Conv2d(out_channels=6, kernel=5, groups=3), (3, 9, 11), (6, 9, 11)),
        (AvgPool(kernel=2, stride=2), (4, 7, 8), (4, 3, 4)),
        (MaxPool(kernel=3, stride=2), (4, 7, 8), (4, 4, 4)),
        (MaxPool(kernel=2, stride=2), (4, 7, 8), (4, 4, 5)),
        (ChannelSlice(start=1, stop=3), (4, 7, 8), (2, 7, 8)),
        (ChannelShuffle(groups=2), (4, 7, 8), (4, 7, 8)),
        (HardSwish(), (4,), (4,)),
        (GlobalAvgPool(), (4, 7, 8), (4,)),
        (Linear(out_features=10), (4,), (10,)),
        (Relu(), (4,), (4,)),
        (Dropout(rate=0.2), (4,), (4,)),
        (BatchNorm(), (4, 2, 2), (4, 2, 2)),
    ],
)
def test_a_layer_gives_the_shape_that_its_definition_says(op: Op, before: Shape, after: Shape) -> None:
    assert shape_after(layer(op), [before]) == after


@pytest.mark.parametrize(
    ("op", "inputs", "said"),
    [
        (Conv2d(out_channels=8, kernel=3, groups=2), [(3, 8, 8)], "groups of 'x' must divide 3 and 8; got 2"),
        (Conv2d(out_channels=8, kernel=3), [(3,)], "cannot read a tensor of shape"),
        (Linear(out_features=8), [(3, 2, 2)], "cannot read a tensor of shape"),
        (AvgPool(kernel=3, stride=1), [(3, 2, 2)], "kernel 3 of 'x' must fit its input; got size 2"),
        (Add(), [(3, 2, 2), (4, 2, 2)], "inputs of 'x' must have one shape"),
        (Relu(), [(3,), (3,)], "layer 'x' takes one input; got 2"),
        (Concat(), [(3, 2, 2), (3, 2, 3)], "inputs of 'x' must be images of one size"),
        (Concat(), [(3,), (3,)], "inputs of 'x' must be images of one size"),
        (Scale(), [(3, 2, 2), (4,)], "an image and a factor for each of its channels"),
        (Scale(), [(3, 2, 2)], "an image and a factor for each of its channels"),
        (ChannelSlice(start=2, stop=4), [(3, 2, 2)], "channels of 'x' must rise within 0 to 3; got 2 to 4"),
        (ChannelSlice(start=2, stop=2), [(3, 2, 2)], "channels of 'x' must rise within 0 to 3; got 2 to 2"),
        (ChannelShuffle(groups=2), [(3, 2, 2)], "groups of 'x' must divide 3; got 2"),
        (ChannelShuffle(groups=3), [(3,)], "cannot read a tensor of shape"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_the_name_of_the_layer(op: Op, inputs: list[Shape], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        shape_after(layer(op, *["input"] * len(inputs)), inputs)


def test_concatenated_images_have_the_channels_of_all_and_a_scaled_one_its_own() -> None:
    assert shape_after(layer(Concat(), "a", "b"), [(3, 2, 4), (5, 2, 4)]) == (8, 2, 4)
    assert shape_after(layer(Scale(), "a", "b"), [(3, 2, 4), (3,)]) == (3, 2, 4)


def test_the_last_layer_gives_the_logits() -> None:
    spec = sample_spec()
    assert spec.classes == 10
    assert spec.shapes[spec.output] == (10,)
    assert spec.shapes[INPUT] == (1, 28, 28)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((), "at least one layer; got none"),
        ((layer(Relu(), "later"),), "must read earlier layers; got later"),
        ((Layer(name="x", op=Relu(), inputs=()),), "must read earlier layers; got none"),
        ((layer(Relu()), layer(Relu())), "unique and without dots; got 'x'"),
        ((layer(Relu(), name="a.b"),), "unique and without dots; got 'a.b'"),
        ((layer(Relu()),), "must give a vector; 'x' gives an image"),
    ],
)
def test_a_graph_that_breaks_a_law_is_refused(layers: tuple[Layer, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StudentSpec(input=(1, 4, 4), layers=layers, seed=0)


def test_the_arrays_of_a_network_have_the_names_and_shapes_of_its_layers() -> None:
    layers = (
        layer(Conv2d(out_channels=4, kernel=3, bias=True), INPUT, name="c"),
        layer(BatchNorm(), "c", name="n"),
        layer(Conv2d(out_channels=4, kernel=1, groups=4), "n", name="d"),
        layer(WeightedSum(), "n", "d", name="w"),
        layer(Mean(), "w", "d", name="m"),
        layer(GlobalAvgPool(), "m", name="g"),
        layer(Linear(out_features=5), "g", name="f"),
    )
    assert parameter_shapes(StudentSpec(input=(2, 6, 6), layers=layers, seed=0)) == {
        "c.weight": (4, 2, 3, 3),
        "c.bias": (4,),
        "n.weight": (4,),
        "n.bias": (4,),
        "n.running_mean": (4,),
        "n.running_var": (4,),
        "d.weight": (4, 1, 1, 1),
        "w.weight": (2,),
        "f.weight": (5, 4),
        "f.bias": (5,),
    }


def test_equal_layers_and_seeds_are_equal_specs() -> None:
    assert sample_spec() == sample_spec()
    assert sample_spec(seed=3) != sample_spec(seed=4)
