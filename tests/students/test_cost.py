import math

import numpy as np
import pytest
import torch
from fakes.study import sample_spec
from onnx import numpy_helper
from students.networks import DESIGNED, chain, graph, nago_members
from torch import nn

from autokd_edge.core.space import Point
from autokd_edge.core.student import (
    INPUT,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    Linear,
    Relu,
    Scale,
    Task,
    WeightedSum,
)
from autokd_edge.students.cost import activation_bytes, cost_of, deployed_parameters, macs, trainable_parameters
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.students.lower_torch import SpecNetwork, torch_from_spec

HEAD = (GlobalAvgPool(), Linear(out_features=4))
TASK = Task(image=(3, 20, 20), classes=6, channel_multiple=8)


SPECS = [
    sample_spec(),
    resnet_spec((3, 32, 32), 10, (8, 16), 2, stem=8, seed=0),
    chain(Conv2d(out_channels=6, kernel=5, stride=2, groups=3, bias=True), AvgPool(kernel=2, stride=1), *HEAD),
    *nago_members(TASK, op="conv3x3", count=2, seed=1),
    *nago_members(TASK, op="separable", count=2, seed=2),
    *(make().spec(Point(values=()), TASK, 0) for make in DESIGNED),
]


@pytest.fixture(params=SPECS, ids=lambda spec: f"{len(spec.layers)} layers")
def spec(request):
    return request.param


def test_trainable_parameters_are_those_that_torch_counts(spec):
    assert trainable_parameters(spec) == sum(p.numel() for p in torch_from_spec(spec).parameters())


def test_deployed_parameters_are_the_values_of_the_onnx_initialisers(spec):
    model = onnx_from_spec(spec)
    assert deployed_parameters(spec) == sum(math.prod(i.dims) for i in model.graph.initializer)
    assert all(np.isfinite(numpy_helper.to_array(i)).all() for i in model.graph.initializer)


def test_macs_are_those_that_hooks_in_torch_count(spec):
    assert macs(spec) == counted_macs(torch_from_spec(spec))


def test_the_cost_of_a_network_holds_all_three_counts(spec):
    cost = cost_of(spec)
    assert (cost.parameters, cost.macs, cost.activation_bytes) == (deployed_parameters(spec), macs(spec), activation_bytes(spec))


def test_counts_of_a_network_small_enough_to_count_by_hand():
    spec = chain(Conv2d(out_channels=2, kernel=3), BatchNorm(), Relu(), GlobalAvgPool(), Linear(out_features=3), image=(1, 4, 5))
    assert trainable_parameters(spec) == 2 * 9 + 2 * 2 + (3 * 2 + 3)
    assert deployed_parameters(spec) == (2 * 9 + 2) + (3 * 2 + 3)
    assert macs(spec) == 4 * 5 * 2 * 9 + 2 * 3
    # the image (20 values) and the convolution's output (40); batch norm and ReLU write over it
    assert activation_bytes(spec) == 4 * (20 + 40)


def test_live_activations_of_a_branch_are_kept_until_its_last_reader():
    #   a (2x4x4) is read by b and by the sum: while b is computed, a and b and nothing else are alive
    spec = graph(
        ("a", Conv2d(out_channels=2, kernel=3), [INPUT]),
        ("b", Conv2d(out_channels=3, kernel=3), ["a"]),
        ("c", Conv2d(out_channels=2, kernel=1), ["b"]),
        ("s", Add(), ["a", "c"]),
        ("g", GlobalAvgPool(), ["s"]),
        image=(1, 4, 4),
    )
    alive = [1 + 2, 2 + 3, 2 + 3 + 2, 2 + 2 + 2, 2]  # images of 4x4 at each layer
    assert activation_bytes(spec) == 4 * 16 * max(alive)


def test_a_relu_whose_input_is_still_needed_does_not_work_in_place():
    layers = (("a", Conv2d(out_channels=4, kernel=3), [INPUT]), ("r", Relu(), ["a"]))
    needed = graph(*layers, ("s", WeightedSum(), ["a", "r"]), ("g", GlobalAvgPool(), ["s"]), image=(1, 4, 4))
    free = graph(*layers, ("s", Relu(), ["r"]), ("g", GlobalAvgPool(), ["s"]), image=(1, 4, 4))
    assert activation_bytes(free) == 4 * 16 * (1 + 4)
    assert activation_bytes(needed) == 4 * 16 * (4 + 4 + 4)


def test_a_gate_works_in_place_and_a_concatenation_does_not():
    layers = (("a", Conv2d(out_channels=4, kernel=3), [INPUT]), ("g", GlobalAvgPool(), ["a"]), ("s", Scale(), ["a", "g"]))
    gated = graph(*layers, ("o", GlobalAvgPool(), ["s"]), image=(1, 4, 4))
    assert activation_bytes(gated) == 4 * 16 * (1 + 4)
    doubled = graph(layers[0], ("c", Concat(), ["a", "a"]), ("o", GlobalAvgPool(), ["c"]), image=(1, 4, 4))
    assert activation_bytes(doubled) == 4 * 16 * (4 + 8)


def test_pooling_dropout_and_batch_norm_cost_no_parameters_and_no_macs():
    plain = chain(Conv2d(out_channels=8, kernel=3), *HEAD)
    more = chain(Conv2d(out_channels=8, kernel=3), BatchNorm(), AvgPool(kernel=1, stride=1), Dropout(rate=0.1), *HEAD)
    assert (deployed_parameters(more), macs(more)) == (deployed_parameters(plain), macs(plain))


def test_a_merge_costs_only_the_scalars_that_no_convolution_can_absorb():
    branches = (("x", Conv2d(out_channels=4, kernel=3), [INPUT]), ("y", Conv2d(out_channels=4, kernel=3), [INPUT]))
    absorbed = graph(*branches, ("p", WeightedSum(), ["x", "y"]), ("g", GlobalAvgPool(), ["p"]), ("f", Linear(out_features=2), ["g"]))
    twice = graph(
        *branches,
        ("p", WeightedSum(), ["x", "y"]),
        ("q", WeightedSum(), ["x", "y", "p"]),
        ("g", GlobalAvgPool(), ["q"]),
        ("f", Linear(out_features=2), ["g"]),
    )
    convolutions = 2 * (4 * 3 * 9 + 4) + (2 * 4 + 2)
    assert deployed_parameters(absorbed) == convolutions
    assert deployed_parameters(twice) == convolutions + 2  # five ties between four tensors: a tree holds three


def counted_macs(network: SpecNetwork) -> int:
    total = 0

    def count(module, _inputs, output):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    for module in network.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, *network.spec.input))
    return total
