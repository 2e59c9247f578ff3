"""Both lowerings compute the same numbers, and the graph does not depend on the weights."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from fakes.study import sample_spec
from onnx import numpy_helper
from students.networks import DESIGNED, arrays_of, chain, graph, largest_difference, nago_members, nago_point, run_onnx, trained_like

from autokd_edge.core.space import Point
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
    Linear,
    MaxPool,
    Mean,
    Relu,
    Relu6,
    Scale,
    Task,
    WeightedSum,
)
from autokd_edge.errors import LoweringError
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.folding import initial_arrays
from autokd_edge.students.lower_onnx import IR_VERSION, OPSET, onnx_from_spec

LAW = 1e-4
HEAD = (GlobalAvgPool(), Linear(out_features=4))
CONV = Conv2d(out_channels=8, kernel=3)
LOUD = Conv2d(out_channels=8, kernel=3)  # twice a convolution of random weights reaches beyond 3 and 6
CHAINS = {
    "convolution": chain(CONV, *HEAD),
    "convolution with bias": chain(Conv2d(out_channels=8, kernel=3, bias=True), *HEAD),
    "1x1 convolution": chain(Conv2d(out_channels=8, kernel=1), *HEAD),
    "5x5 convolution": chain(Conv2d(out_channels=8, kernel=5), *HEAD),
    "strided convolution": chain(Conv2d(out_channels=8, kernel=3, stride=2), *HEAD),
    "strided 1x1 convolution": chain(Conv2d(out_channels=8, kernel=1, stride=2), *HEAD),
    "depthwise convolution": chain(Conv2d(out_channels=3, kernel=3, groups=3), *HEAD),
    "grouped convolution": chain(CONV, Conv2d(out_channels=8, kernel=3, groups=4), *HEAD),
    "batch norm": chain(CONV, BatchNorm(), *HEAD),
    "batch norm after a bias": chain(Conv2d(out_channels=8, kernel=3, bias=True), BatchNorm(), *HEAD),
    "batch norm of a depthwise convolution": chain(Conv2d(out_channels=3, kernel=3, groups=3), BatchNorm(), *HEAD),
    "ReLU": chain(CONV, BatchNorm(), Relu(), *HEAD),
    "ReLU of the image": chain(Relu(), CONV, *HEAD),
    "pooling": chain(CONV, AvgPool(kernel=2, stride=2), *HEAD),
    "overlapping pooling": chain(CONV, AvgPool(kernel=3, stride=2), *HEAD),
    "pooling of the image": chain(AvgPool(kernel=3, stride=2), CONV, *HEAD),
    "global pooling at the end": chain(CONV, GlobalAvgPool()),
    "dropout": chain(CONV, GlobalAvgPool(), Dropout(rate=0.5), Linear(out_features=4)),
    "dropout at the end": chain(CONV, *HEAD, Dropout(rate=0.5)),
    "dropout on an image": chain(CONV, BatchNorm(), Dropout(rate=0.5), Relu(), *HEAD),
    "ReLU6": chain(CONV, LOUD, Relu6(), *HEAD),
    "ReLU6 of the image": chain(Relu6(), CONV, *HEAD),
    "hard sigmoid": chain(CONV, LOUD, HardSigmoid(), *HEAD),
    "hard swish": chain(CONV, LOUD, HardSwish(), *HEAD),
    "hard swish of features": chain(CONV, GlobalAvgPool(), Linear(out_features=6), HardSwish(), Linear(out_features=4)),
    "max pooling": chain(CONV, MaxPool(kernel=3, stride=2), *HEAD),
    "max pooling without padding": chain(CONV, MaxPool(kernel=2, stride=2), *HEAD),  # 9 x 11 leaves a border
    "shuffle": chain(CONV, ChannelShuffle(groups=4), CONV, *HEAD),
    "slice": chain(CONV, ChannelSlice(start=2, stop=7), CONV, *HEAD),
    "two linear layers": chain(CONV, GlobalAvgPool(), Linear(out_features=6), Relu(), Linear(out_features=4)),
}
TAIL = (("gap", GlobalAvgPool(), ["m"]), ("fc", Linear(out_features=4), ["gap"]))
BRANCHES = (("x", CONV, [INPUT]), ("xn", BatchNorm(), ["x"]), ("y", CONV, [INPUT]), ("yn", BatchNorm(), ["y"]))
MERGES = {"sum": Add(), "mean": Mean(), "weighted sum": WeightedSum()}


@pytest.mark.parametrize("name", CHAINS)
def test_one_layer_after_the_other_gives_the_same_numbers(name):
    difference, largest = largest_difference(CHAINS[name])
    assert difference <= LAW
    assert largest > 0.01  # zeros would agree as well


@pytest.mark.parametrize("inputs", [("xn",), ("xn", "yn"), ("xn", "yn", "x2"), ("xn", "xn"), ("xn", "r")])
@pytest.mark.parametrize("op", MERGES.values(), ids=MERGES)
def test_a_merge_gives_the_same_numbers_whatever_it_merges(op, inputs):
    more = (("x2", CONV, ["yn"]), ("r", Relu(), ["xn"]))
    spec = graph(*BRANCHES, *more, ("p", op, inputs), ("q", Relu(), ["p"]), ("m", CONV, ["q"]), *TAIL)
    for seed in range(3):
        difference, largest = largest_difference(spec, seed=seed)
        assert difference <= LAW
        assert largest > 0.01


@pytest.mark.parametrize("merge", MERGES.values(), ids=MERGES)
@pytest.mark.parametrize("op", [Relu6(), HardSwish()], ids=["ReLU6", "hard swish"])
def test_a_merge_between_activations_that_have_a_scale_gives_the_same_numbers(op, merge):
    spec = graph(*BRANCHES, ("a", op, ["xn"]), ("p", merge, ["a", "yn", "xn"]), ("q", op, ["p"]), ("m", merge, ["q", "p"]), *TAIL)
    for seed in range(3):
        difference, largest = largest_difference(spec, seed=seed)
        assert difference <= LAW
        assert largest > 0.01


@pytest.mark.parametrize("merge", MERGES.values(), ids=MERGES)
def test_slices_shuffles_concatenations_and_gates_of_merges_give_the_same_numbers(merge):
    gate = (("g", GlobalAvgPool(), ["s"]), ("h", Linear(out_features=8), ["g"]), ("f", HardSigmoid(), ["h"]))
    spec = graph(
        *BRANCHES,
        ("p", merge, ["xn", "yn"]),
        ("left", ChannelSlice(start=0, stop=4), ["p"]),
        ("right", ChannelSlice(start=4, stop=8), ["p"]),
        ("w", Conv2d(out_channels=4, kernel=3), ["right"]),
        ("c", Concat(), ["left", "w"]),
        ("s", ChannelShuffle(groups=2), ["c"]),
        *gate,
        ("k", Scale(), ["s", "f"]),
        ("m", merge, ["k", "p"]),
        ("gap", GlobalAvgPool(), ["m"]),
        ("fc", Linear(out_features=4), ["gap"]),
    )
    for seed in range(3):
        difference, largest = largest_difference(spec, seed=seed)
        assert difference <= LAW
        assert largest > 0.01


@pytest.mark.parametrize("op", MERGES.values(), ids=MERGES)
def test_a_merge_of_the_image_or_of_logits_gives_the_same_numbers(op):
    image = graph(("x", Conv2d(out_channels=3, kernel=3), [INPUT]), ("p", op, [INPUT, "x"]), ("m", CONV, ["p"]), *TAIL)
    logits = graph(*BRANCHES, ("g", GlobalAvgPool(), ["xn"]), ("h", GlobalAvgPool(), ["yn"]), ("p", op, ["g", "h"]))
    for spec in (image, logits):
        assert largest_difference(spec)[0] <= LAW


def test_merges_of_merges_that_share_inputs_give_the_same_numbers():
    spec = graph(
        *BRANCHES,
        ("p", WeightedSum(), ["xn", "yn"]),
        ("q", WeightedSum(), ["xn", "yn", "p"]),
        ("s", Mean(), ["p", "q"]),
        ("t", Add(), ["s", "xn"]),
        ("r", Relu(), ["t"]),
        ("m", WeightedSum(), ["r", "t"]),
        *TAIL,
    )
    for seed in range(5):
        difference, largest = largest_difference(spec, seed=seed)
        assert difference <= LAW
        assert largest > 0.01


@pytest.mark.parametrize("image", [(1, 17, 23), (3, 32, 32), (3, 64, 64), (1, 5, 39), (1, 8, 8)])
@pytest.mark.parametrize("op", ["conv3x3", "separable"])
def test_random_members_of_nago_give_the_same_numbers(op, image):
    task = Task(image=image, classes=7, channel_multiple=8)
    for index, spec in enumerate(nago_members(task, op=op, count=3, seed=sum(image))):
        difference, largest = largest_difference(spec, seed=index, images=2)
        assert difference <= LAW
        assert largest > 0.01


@pytest.mark.parametrize("neighbours", [2, 4])
def test_a_very_deep_member_of_nago_is_as_near_to_exact_arithmetic_as_torch_itself(neighbours):
    """260 convolutions amplify rounding past 1e-4 in torch's own float32, so the judge is float64."""
    task = Task(image=(1, 12, 12), classes=10, channel_multiple=8)
    spec = NagoFamily().spec(nago_point(task, N_t=8, N_m=4, N_b=8, K_t=neighbours, P_m=0.9, K_b=neighbours), task, 0)
    assert sum(isinstance(layer.op, Conv2d) for layer in spec.layers) > 200
    network = trained_like(spec, seed=0)
    images = torch.randn(4, *spec.input, generator=torch.Generator().manual_seed(0))
    by_onnx = run_onnx(onnx_from_spec(spec, arrays_of(network)), images.numpy())
    with torch.no_grad():
        by_torch = network(images).numpy()
        exact = network.double()(images.double()).numpy()
    rounding = np.abs(by_torch - exact).max()
    assert rounding < 0.01 < np.abs(exact).max()
    assert np.abs(by_onnx - exact).max() <= 3 * rounding


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 17, 23), (1, 8, 8)])
@pytest.mark.parametrize("make", DESIGNED)
def test_a_hand_designed_network_gives_the_same_numbers(make, image):
    spec = make().spec(Point(values=()), Task(image=image, classes=10, channel_multiple=8), 0)
    difference, largest = largest_difference(spec)
    assert difference <= LAW
    assert largest > 0.01


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 17, 23)])
def test_a_residual_network_gives_the_same_numbers(image):
    spec = resnet_spec(image, 10, (8, 16, 24), 2, stem=8, seed=1)
    for seed in range(2):
        difference, largest = largest_difference(spec, seed=seed)
        assert difference <= LAW
        assert largest > 0.01


def test_another_batch_norm_would_not_give_the_same_numbers():
    spec = CHAINS["batch norm"]
    network = trained_like(spec, seed=0)
    images = np.random.default_rng(0).standard_normal((2, *spec.input), dtype=np.float32)
    arrays = arrays_of(network)
    changed = {**arrays, "b.running_var": arrays["b.running_var"] * 1.01}
    difference = np.abs(run_onnx(onnx_from_spec(spec, arrays), images) - run_onnx(onnx_from_spec(spec, changed), images)).max()
    assert difference > LAW


@pytest.mark.parametrize("op", ["conv3x3", "separable"])
def test_an_untrained_network_has_the_very_nodes_of_a_taught_one(op):
    task = Task(image=(1, 28, 28), classes=10, channel_multiple=8)
    for index in range(4):
        point = nago_point(task, N_t=5, K_t=4, N_m=3, N_b=5, K_b=4, op=op)
        spec = NagoFamily().spec(point, task, index)
        taught = onnx_from_spec(spec, arrays_of(trained_like(spec, seed=index)))
        untrained = onnx_from_spec(spec)
        assert structure(untrained) == structure(taught)
        assert untrained != taught


def test_the_spec_alone_decides_the_bytes_of_an_untrained_graph():
    spec = sample_spec()
    data = onnx_from_spec(spec).SerializeToString(deterministic=True)
    assert onnx_from_spec(spec).SerializeToString(deterministic=True) == data
    other = dataclasses.replace(spec, seed=spec.seed + 1)
    assert onnx_from_spec(other).SerializeToString(deterministic=True) != data


def test_the_graph_holds_inference_operations_alone():
    model = onnx_from_spec(sample_spec())
    assert {node.op_type for node in model.graph.node} <= {
        "Conv",
        "Relu",
        "Add",
        "Mul",
        "AveragePool",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
    }
    assert all(len(node.input) == 2 for node in model.graph.node if node.op_type == "Add")


def test_the_graph_reads_input_and_gives_logits_in_an_old_opset():
    model = onnx_from_spec(CHAINS["convolution"])
    assert [(i.name, shape(i)) for i in model.graph.input] == [("input", (1, 3, 9, 11))]
    assert [(o.name, shape(o)) for o in model.graph.output] == [("logits", (1, 4))]
    assert [o.version for o in model.opset_import] == [OPSET] == [13]
    assert model.ir_version == IR_VERSION
    assert all(numpy_helper.to_array(i).dtype == np.float32 for i in model.graph.initializer)


def test_untrained_activations_stay_near_one_however_deep_the_graph():
    task = Task(image=(1, 16, 16), classes=10, channel_multiple=8)
    spec = NagoFamily().spec(nago_point(task, N_t=8, N_m=3, N_b=8, K_t=4, K_b=4, P_m=0.9), task, 0)
    images = np.random.default_rng(0).standard_normal((4, 1, 16, 16), dtype=np.float32)
    logits = run_onnx(onnx_from_spec(spec), images)
    assert np.isfinite(logits).all()
    assert 0.01 < np.abs(logits).max() < 100
    assert len({logits_of_one.tobytes() for logits_of_one in logits}) == 4  # not a constant


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_are_not_the_specs_are_a_lowering_error(change):
    spec = CHAINS["batch norm"]
    arrays = initial_arrays(spec)
    changes = {"missing": lambda: arrays.pop("b.bias"), "extra": lambda: arrays.update(z=np.zeros(1, np.float32))}
    changes.get(change, lambda: arrays.update({"b.bias": np.zeros(9, np.float32)}))()
    with pytest.raises(LoweringError, match="the 7 arrays of the spec"):
        onnx_from_spec(spec, arrays)


def structure(model: onnx.ModelProto) -> list[tuple]:
    shapes = [(i.name, tuple(i.dims)) for i in model.graph.initializer]
    nodes = [(n.op_type, tuple(n.input), tuple(n.output), tuple(a.SerializeToString() for a in n.attribute)) for n in model.graph.node]
    return [*shapes, *nodes]


def shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
