import torch
from teaching.small import IMAGE, small_student

from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_torch import torch_from_spec
from autokd_edge.teaching.features import FeatureReader, feature_channels, feature_layers

SPEC = resnet_spec((1, 16, 16), 3, (8, 12), 2, stem=4, seed=1)


def test_the_last_layer_of_each_resolution_is_read():
    names = feature_layers(SPEC)
    assert [SPEC.shapes[name] for name in names] == [(4, 16, 16), (8, 8, 8), (12, 4, 4)]
    assert feature_channels(SPEC) == (4, 8, 12)
    order = [layer.name for layer in SPEC.layers]
    for name in names:
        later = order[order.index(name) + 1 :]
        assert not any(SPEC.shapes[other][1:] == SPEC.shapes[name][1:] for other in later if len(SPEC.shapes[other]) == 3)


def test_reading_features_does_not_change_the_logits():
    network = torch_from_spec(SPEC).eval()
    images = torch.randn(5, 1, 16, 16)
    expected = network(images)
    outputs = FeatureReader(network)(images)
    assert torch.equal(outputs.logits, expected)
    assert [tuple(f.shape) for f in outputs.features] == [(5, 4, 16, 16), (5, 8, 8, 8), (5, 12, 4, 4)]


def test_features_carry_gradients_and_are_those_of_the_last_batch():
    network = torch_from_spec(small_student()).train()
    reader = FeatureReader(network)
    reader(torch.randn(4, *IMAGE))
    features = reader(torch.randn(6, *IMAGE)).features
    assert {len(f) for f in features} == {6}
    features[-1].sum().backward()
    assert next(network.parameters()).grad is not None
