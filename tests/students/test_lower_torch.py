import pytest
import torch
from fakes.study import sample_spec
from students.networks import chain, graph, trained_like

from autokd_edge.core.student import INPUT, Add, Conv2d, Dropout, GlobalAvgPool, Linear, Mean, Relu, WeightedSum, parameter_shapes
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_torch import torch_from_spec

SPEC = sample_spec()
HEAD = (GlobalAvgPool(), Linear(out_features=3))


def test_the_arrays_have_the_names_and_shapes_of_the_spec_in_layer_order():
    arrays = torch_from_spec(SPEC).arrays()
    assert {name: tuple(value.shape) for name, value in arrays.items()} == parameter_shapes(SPEC)
    assert list(arrays) == list(parameter_shapes(SPEC))


def test_the_seed_of_the_spec_alone_decides_the_first_weights():
    torch.manual_seed(1)
    first = torch_from_spec(SPEC).arrays()
    torch.manual_seed(2)
    again = torch_from_spec(SPEC).arrays()
    other = torch_from_spec(sample_spec(seed=4)).arrays()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layer0.weight"], other["layer0.weight"])


def test_building_a_network_leaves_the_global_random_state_alone_where_it_can_matter():
    torch.manual_seed(1)
    torch_from_spec(SPEC)
    after = torch.rand(1)
    torch.manual_seed(1)
    torch_from_spec(SPEC)
    assert torch.equal(torch.rand(1), after)


def test_first_weights_have_hes_variance_by_fan_out():
    spec = chain(Conv2d(out_channels=64, kernel=3), Conv2d(out_channels=64, kernel=3, groups=64), *HEAD, image=(8, 5, 5))
    arrays = torch_from_spec(spec).arrays()
    assert arrays["a.weight"].std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
    assert arrays["b.weight"].std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.15)
    assert not arrays["d.bias"].any()


def test_loaded_weights_give_the_logits_of_the_network_they_are_from():
    source, copy = trained_like(SPEC, seed=3), torch_from_spec(SPEC).eval()
    images = torch.randn(2, *SPEC.input)
    with torch.no_grad():
        assert not torch.equal(copy(images), source(images))
        copy.load_arrays(source.arrays())
        assert torch.equal(copy(images), source(images))


def test_weights_of_half_precision_are_loaded_as_float32():
    arrays = {name: value.half() for name, value in torch_from_spec(SPEC).arrays().items()}
    network = torch_from_spec(SPEC)
    network.load_arrays(arrays)
    assert {value.dtype for value in network.arrays().values()} == {torch.float32}


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_of_another_network_are_refused(change):
    arrays = torch_from_spec(SPEC).arrays()
    if change == "missing":
        arrays.pop("layer0.weight")
    elif change == "extra":
        arrays["other.weight"] = torch.zeros(1)
    else:
        arrays["layer0.weight"] = torch.zeros(1, 1, 3, 3)
    with pytest.raises(RuntimeError):
        torch_from_spec(SPEC).load_arrays(arrays)


def test_the_layout_changes_the_speed_and_not_the_numbers():
    network = trained_like(SPEC, seed=3)
    images = torch.randn(2, *SPEC.input)
    with torch.no_grad():
        before = network(images)
        after = network.laid_out(torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(before, after, atol=1e-4)
    assert all(value.is_contiguous() for value in network.arrays().values())


def test_merges_compute_what_they_say():
    x = torch.tensor([[1.0, -2.0, 4.0]])
    for op, expected in ((Add(), [3.0, -6.0, 12.0]), (Mean(), [1.0, -2.0, 4.0])):
        spec = graph(("g", GlobalAvgPool(), [INPUT]), ("p", op, ["g", "g", "g"]), image=(3, 1, 1))
        assert torch.equal(torch_from_spec(spec)(x[..., None, None]), torch.tensor([expected]))
    spec = graph(("g", GlobalAvgPool(), [INPUT]), ("h", Relu(), ["g"]), ("p", WeightedSum(), ["g", "h"]), image=(3, 1, 1))
    network = torch_from_spec(spec)
    network.load_arrays({"p.weight": torch.tensor([0.0, 1.0])})
    expected = 0.5 * x + torch.sigmoid(torch.tensor(1.0)) * x.clamp(min=0)
    assert torch.allclose(network(x[..., None, None]), expected)


def test_a_merge_starts_with_all_scalars_one():
    spec = graph(("g", GlobalAvgPool(), [INPUT]), ("h", Relu(), ["g"]), ("p", WeightedSum(), ["g", "h"]), image=(3, 1, 1))
    assert torch_from_spec(spec).arrays()["p.weight"].tolist() == [1.0, 1.0]


def test_dropout_acts_while_teaching_alone():
    spec = chain(Conv2d(out_channels=8, kernel=3), GlobalAvgPool(), Dropout(rate=0.5), Linear(out_features=4))
    network = torch_from_spec(spec)
    images = torch.randn(2, *spec.input)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))


def test_every_weight_of_a_network_gets_a_gradient():
    for spec in (SPEC, resnet_spec((1, 16, 16), 10, (8, 16), 1, stem=8, seed=0)):
        network = torch_from_spec(spec).train()
        network(torch.randn(4, *spec.input)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
