import numpy as np
import onnx
import pytest
from fakes.graphs import CLASSES, IMAGE, logits_by_onnxruntime, write_graph
from onnx import helper

from autokd_edge.errors import InputError
from autokd_edge.pipeline.network_file import read_network


def changed(path, edit):
    """Write the graph of the fakes with a change to it."""
    model = onnx.load(write_graph(path))
    edit(model)
    onnx.save(model, path)
    return path


def refused(path, *, opset_max=21):
    with pytest.raises(InputError) as caught:
        read_network(path, opset_max=opset_max)
    return str(caught.value)


def test_an_onnx_file_is_read_with_its_shapes_and_its_layers_named_by_what_they_give(tmp_path):
    network = read_network(write_graph(tmp_path / "m.onnx"), opset_max=21)
    assert (network.input, network.image, network.classes) == ("input", IMAGE, CLASSES)
    assert [node.name for node in network.model.graph.node] == [node.output[0] for node in network.model.graph.node]


def test_weights_in_a_file_beside_it_are_taken_in(tmp_path):
    model = onnx.load(write_graph(tmp_path / "plain.onnx"))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.weights", size_threshold=0)
    network = read_network(tmp_path / "m.onnx", opset_max=21)
    samples = np.random.default_rng(0).standard_normal((2, *IMAGE), dtype=np.float32)
    whole = (tmp_path / "plain.onnx").read_bytes()
    np.testing.assert_array_equal(logits_by_onnxruntime(network.model.SerializeToString(), samples), logits_by_onnxruntime(whole, samples))


def test_an_operation_of_one_runtime_alone_is_named(tmp_path):
    def edit(model):
        model.graph.node[1].op_type = "QuickGelu"
        model.graph.node[1].domain = "com.microsoft"
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    assert "must be ONNX's own; 'm.onnx' has 'QuickGelu' of domain 'com.microsoft'" in refused(changed(tmp_path / "m.onnx", edit))


def test_a_network_that_is_not_there_is_said_to_be_so(tmp_path):
    assert "there is no" in refused(tmp_path / "none.onnx")
    assert "there is no" in refused(tmp_path / "none.pt2")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: m.graph.output.append(helper.make_empty_tensor_value_info("h")), "must have one output"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 4), "takes (4, 1, 12, 12)"),
        (lambda m: m.graph.output[0].type.tensor_type.shape.dim.pop(), "gives (1,)"),
    ],
    ids=["two outputs", "a batch of four", "no classes"],
)
def test_what_is_no_classifier_of_one_image_is_refused(tmp_path, edit, said):
    path = changed(tmp_path / "m.onnx", edit)
    assert said in refused(path) or "valid ONNX" in refused(path)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("m.onnx", b"not a graph at all", "must be an ONNX file"),
        ("m.pt", b"", "must be a .onnx or a .pt2 file; got 'm.pt'"),
        ("m.pt2", b"PK nothing", "must be what torch.export.save wrote"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    assert said in refused(tmp_path / name)


def test_a_newer_opset_than_the_target_reads_is_refused_and_an_older_one_is_converted(tmp_path):
    write_graph(tmp_path / "m.onnx")
    assert "at most 12 for this target; 'm.onnx' has 13" in refused(tmp_path / "m.onnx", opset_max=12)

    def older(model):
        model.opset_import[0].version = 11

    network = read_network(changed(tmp_path / "old.onnx", older), opset_max=21)
    assert network.model.opset_import[0].version == 13


@pytest.mark.slow
def test_a_program_of_torch_export_is_read_and_computes_the_same(tmp_path):
    import torch
    from torch import nn

    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    images = torch.randn(1, 1, 8, 8)
    torch.export.save(torch.export.export(network, (images,)), tmp_path / "m.pt2")
    read = read_network(tmp_path / "m.pt2", opset_max=21)
    assert (read.image, read.classes) == ((1, 8, 8), 3)
    logits = logits_by_onnxruntime(read.model.SerializeToString(), images.numpy())
    np.testing.assert_allclose(logits, network(images).detach().numpy(), atol=1e-5)
