from autokd_edge.core.student import Add, BatchNorm, Conv2d, Relu
from autokd_edge.students.families.resnet import resnet_spec


def operations(spec, kind):
    return [layer for layer in spec.layers if isinstance(layer.op, kind)]


def test_each_stage_halves_the_image_and_has_its_width_and_blocks():
    spec = resnet_spec((3, 32, 32), 10, (16, 32, 64), 2, stem=8, seed=0)
    sums = operations(spec, Add)
    assert [spec.shapes[layer.name] for layer in sums] == [(16, 16, 16)] * 2 + [(32, 8, 8)] * 2 + [(64, 4, 4)] * 2
    assert (spec.input, spec.classes, spec.seed) == ((3, 32, 32), 10, 0)


def test_a_shortcut_is_a_convolution_only_where_the_shape_changes():
    spec = resnet_spec((1, 16, 16), 10, (8, 16), 2, stem=8, seed=0)
    shortcuts = [layer for layer in operations(spec, Conv2d) if layer.op.kernel == 1]
    assert [layer.op for layer in shortcuts] == [Conv2d(out_channels=8, kernel=1, stride=2), Conv2d(out_channels=16, kernel=1, stride=2)]


def test_every_convolution_is_followed_by_its_batch_norm_and_every_sum_by_a_relu():
    spec = resnet_spec((1, 17, 23), 5, (8, 16), 1, stem=8, seed=0)
    assert {layer.inputs[0] for layer in operations(spec, BatchNorm)} == {layer.name for layer in operations(spec, Conv2d)}
    assert {layer.name for layer in operations(spec, Add)} <= {layer.inputs[0] for layer in operations(spec, Relu)}


def test_odd_images_fit():
    assert resnet_spec((1, 17, 23), 5, (8, 16, 24), 1, stem=8, seed=0).classes == 5
