import json

import numpy as np
import onnx
import pytest
import torch
from teaching.kinds.graphs import module, write_onnx
from teaching.small import CLASSES, small_source

from autokd_edge.core.student import INPUT
from autokd_edge.errors import TeacherError
from autokd_edge.teaching.teachers import load_teacher

onnxruntime = pytest.importorskip("onnxruntime")
DATA = small_source().teaching()
IMAGES = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def run(path, images: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {INPUT: image[None].numpy()})[0] for image in images])


@pytest.mark.parametrize("dynamic", [True, False], ids=["any batch", "batch 1"])
def test_its_answers_are_those_of_the_network_that_it_was_written_from(tmp_path, dynamic):
    network = module()
    write_onnx(tmp_path / "t.onnx", network, dynamic=dynamic)
    teacher = load_teacher(str(tmp_path / "t.onnx"), DATA)
    with torch.no_grad():
        assert torch.allclose(teacher.answers()(IMAGES), network(IMAGES), atol=1e-5)
    assert (teacher.name, teacher.classes) == ("t.onnx", 3)


def test_its_graph_for_the_device_gives_the_same_answers_for_one_image(tmp_path):
    write_onnx(tmp_path / "t.onnx", module())
    teacher = load_teacher(str(tmp_path / "t.onnx"), DATA)
    teacher.write_graph(tmp_path / "device.onnx")
    model = onnx.load(tmp_path / "device.onnx")
    onnx.checker.check_model(model)
    assert [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input] == [[1, 1, 8, 8]]
    np.testing.assert_allclose(run(tmp_path / "device.onnx", IMAGES), teacher.answers()(IMAGES).numpy(), atol=1e-5)


def test_its_card_says_how_it_reads_images_and_both_its_answers_and_its_graph_keep_to_it(tmp_path):
    network = module(image=(3, 12, 10))
    write_onnx(tmp_path / "t.onnx", network, image=(3, 12, 10))
    card = {"classes": list(CLASSES), "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    (tmp_path / "t.card.json").write_text(json.dumps(card))
    teacher = load_teacher(str(tmp_path / "t.onnx"), DATA)
    pixels = torch.rand(5, 1, 8, 8)
    student = (pixels - DATA.mean[0]) / DATA.std[0]
    shown = torch.nn.functional.interpolate(pixels.repeat(1, 3, 1, 1), size=(12, 10), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(card[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = network((shown - mean) / std)
    assert torch.allclose(teacher.answers()(student), expected, atol=1e-4)
    teacher.write_graph(tmp_path / "device.onnx")
    np.testing.assert_allclose(run(tmp_path / "device.onnx", student), expected.numpy(), atol=1e-4)


def test_its_cost_is_counted_exactly(tmp_path):
    write_onnx(tmp_path / "t.onnx", module())
    cost = load_teacher(str(tmp_path / "t.onnx"), DATA).cost
    assert cost.macs == 64 * 4 * 9 + 256 * 3
    assert cost.parameters == 4 * 9 + 4 + 256 * 3 + 3  # the exporter folds the batch norm
    assert cost.activation_bytes == 4 * 2 * 256


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("{", "must hold classes, image, mean, std, before_crop or interpolation"),
        ('{"labels": []}', "'labels': is not known"),
        ('{"classes": ["left", "right", "middle"]}', "must have the same classes; .* knows 3 classes"),
        ('{"mean": [0.1, 0.2]}', "about one kind of images"),
        ('{"std": [0]}', "a positive std"),
        ('{"image": [3, 8, 8]}', "must run in ONNX Runtime"),
    ],
)
def test_a_card_that_contradicts_is_refused(tmp_path, card, said):
    write_onnx(tmp_path / "t.onnx", module())
    (tmp_path / "t.card.json").write_text(card)
    with pytest.raises(TeacherError, match=said):
        load_teacher(str(tmp_path / "t.onnx"), DATA)


def test_a_teacher_of_other_classes_or_of_colour_for_gray_is_refused(tmp_path):
    write_onnx(tmp_path / "t.onnx", module(classes=4))
    with pytest.raises(TeacherError, match=r"must have the same classes; '.*t\.onnx' gives 4 logits, 'small' has 3 classes"):
        load_teacher(str(tmp_path / "t.onnx"), DATA)


def test_damaged_and_foreign_graphs_are_refused(tmp_path):
    path = tmp_path / "t.onnx"
    write_onnx(path, module())
    whole = path.read_bytes()
    for data in (b"", b"graph", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(TeacherError, match=r"t\.onnx"):
            load_teacher(str(path), DATA)
    torch.manual_seed(0)
    write_onnx(path, torch.nn.Linear(4, 3), image=(4,))
    with pytest.raises(TeacherError, match="must read float32 images"):
        load_teacher(str(path), DATA)


def test_other_weights_are_another_teacher(tmp_path):
    for seed in (0, 1):
        write_onnx(tmp_path / f"{seed}.onnx", module(seed=seed))
    digests = [load_teacher(str(tmp_path / f"{seed}.onnx"), DATA).digest for seed in (0, 1, 0)]
    assert digests[0] == digests[2] != digests[1]
