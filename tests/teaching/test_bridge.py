from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

from autokd_edge.core.student import INPUT
from autokd_edge.errors import TeacherError
from autokd_edge.teaching.bridge import Bridge, Reads, bridged_graph

GRAY = Reads(image=(1, 6, 8), mean=(0.3,), std=(0.2,))
COLOUR = Reads(image=(3, 6, 8), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
LARGE = Reads(image=(3, 12, 10), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CROPPED = Reads(image=(3, 12, 10), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), before_crop=(17, 16))
CENTRE = Reads(image=(1, 4, 4), mean=(0.3,), std=(0.2,), before_crop=(6, 8))
BICUBIC = replace(LARGE, interpolation="bicubic")
SMALL = Reads(image=(3, 4, 5), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="nearest")
NEAR = Reads(image=(1, 6, 8), mean=(0.30005,), std=(0.2,))


def identity(reads: Reads) -> onnx.ModelProto:
    """Write a graph that gives its input."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *reads.image]) for name in ("pixels", "seen")]
    graph = helper.make_graph([helper.make_node("Identity", ["pixels"], ["seen"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (GRAY, COLOUR),
        (GRAY, LARGE),
        (COLOUR, LARGE),
        (GRAY, GRAY),
        (GRAY, NEAR),
        (GRAY, CROPPED),
        (COLOUR, CROPPED),
        (GRAY, CENTRE),
        (GRAY, BICUBIC),
        (COLOUR, SMALL),
    ],
)
def test_the_bridge_in_torch_and_in_the_graph_are_the_same(student, teacher):
    bridge = Bridge(student, teacher, name="t")
    image = torch.randn(1, *student.image)
    seen = ReferenceEvaluator(bridged_graph(identity(teacher), bridge, student)).run(None, {INPUT: image.numpy()})[0]
    assert seen.shape == (1, *teacher.image)
    np.testing.assert_allclose(seen, bridge(image).numpy(), atol=1e-5)


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(12, 24), (4, 5), (4, 24)])
def test_images_are_resized_as_image_libraries_do(how, size):
    pixels = np.random.default_rng(0).random((6, 8), dtype=np.float32)
    reads = replace(GRAY, image=(1, *size), interpolation=how)
    seen = Bridge(GRAY, reads, name="t")(torch.from_numpy(pixels)[None, None])[0, 0]
    wanted = Image.fromarray(pixels).resize(size[::-1], Image.Resampling[how.upper()])
    np.testing.assert_allclose(seen.numpy(), np.asarray(wanted), atol=1e-5)


def test_the_interpolation_tells_a_teacher_from_another_and_the_usual_one_changes_no_digest():
    assert LARGE.facts == (LARGE.image, LARGE.mean, LARGE.std)
    assert BICUBIC.facts != LARGE.facts


def test_the_teacher_sees_the_pixels_by_its_own_mean_and_deviation():
    pixels = torch.rand(2, 1, 6, 8)
    seen = Bridge(GRAY, COLOUR, name="t")((pixels - 0.3) / 0.2)
    for channel in range(3):
        assert torch.allclose(seen[:, channel], (pixels[:, 0] - COLOUR.mean[channel]) / COLOUR.std[channel], atol=1e-5)


def test_the_centre_is_cut_after_resizing():
    image = torch.randn(1, 1, 6, 8)
    assert torch.equal(Bridge(GRAY, CENTRE, name="t")(image), image[:, :, 1:5, 2:6])
    whole = replace(CROPPED, image=(3, 17, 16), before_crop=None)
    assert torch.equal(Bridge(GRAY, CROPPED, name="t")(image), Bridge(GRAY, whole, name="t")(image)[:, :, 2:14, 3:13])


def test_a_crop_larger_than_what_it_is_cut_from_is_refused():
    with pytest.raises(ValueError, match=r"must be cut from one of its size or more; got \(11, 16\)"):
        replace(CROPPED, before_crop=(11, 16))


def test_where_nothing_differs_there_is_no_bridge():
    for teacher in (GRAY, NEAR):
        bridge = Bridge(GRAY, teacher, name="t")
        image = torch.randn(1, 1, 6, 8)
        assert bridge(image) is image
        assert [node.op_type for node in bridged_graph(identity(teacher), bridge, GRAY).graph.node] == ["Identity"]


def test_a_teacher_of_gray_images_cannot_read_colour():
    with pytest.raises(TeacherError, match=r"must have as many channels as the images, .*; 'mine' reads 1, the images have 3"):
        Bridge(COLOUR, GRAY, name="mine")


def test_a_graph_of_two_inputs_is_refused():
    model = identity(GRAY)
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    with pytest.raises(TeacherError, match="must have one input and an output; it has 2 and 1"):
        bridged_graph(model, Bridge(GRAY, GRAY, name="t"), GRAY)
