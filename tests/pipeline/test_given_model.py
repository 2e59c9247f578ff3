"""A user's model, read whole or refused in one sentence."""

import numpy as np
import onnx
import pytest
from fakes.graphs import IMAGE, write_graph
from onnx import TensorProto, helper

from autokd_edge.errors import ModelError
from autokd_edge.pipeline.given_model import read_model


@pytest.fixture
def changed(tmp_path):
    """Writes the small network after a change of its proto; gives the path."""

    def write(change):
        model = onnx.load(write_graph(tmp_path / "graph.onnx"))
        change(model)
        path = tmp_path / "changed.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def refused(path, tmp_path):
    with pytest.raises(ModelError) as caught:
        read_model(path, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
    return str(caught.value)


def test_a_plain_model_is_read_with_its_input_opset_and_digest(tmp_path):
    model = read_model(write_graph(tmp_path / "graph.onnx"), tmp_path / "out.onnx")
    assert (model.input_name, model.input_shape, model.opset, model.quantized) == ("input", (1, *IMAGE), 13, False)
    assert model.path.read_bytes() == (tmp_path / "graph.onnx").read_bytes()


def test_a_model_with_dequantise_nodes_is_said_to_be_quantised(changed, tmp_path):
    def quantise(model):
        model.graph.initializer.extend(
            [helper.make_tensor("s", TensorProto.FLOAT, [], [0.1]), helper.make_tensor("z", TensorProto.INT8, [], [0])]
        )
        model.graph.node[0].input[0] = "dequantised"
        pair = [
            helper.make_node("QuantizeLinear", ["input", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dequantised"]),
        ]
        for node in reversed(pair):
            model.graph.node.insert(0, node)

    assert read_model(changed(quantise), tmp_path / "out.onnx").quantized


def test_external_data_comes_inside_so_that_one_file_is_the_network(tmp_path):
    model = onnx.load(write_graph(tmp_path / "graph.onnx"))
    (tmp_path / "apart").mkdir()
    onnx.save(model, tmp_path / "apart" / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    read = read_model(tmp_path / "apart" / "m.onnx", tmp_path / "out.onnx")
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(read.path).graph.initializer}
    for tensor in onnx.load(tmp_path / "graph.onnx").graph.initializer:
        np.testing.assert_array_equal(weights[tensor.name], onnx.numpy_helper.to_array(tensor))


@pytest.mark.parametrize("left", [None, 10], ids=["gone", "cut short"])
def test_external_data_that_is_not_whole_is_named(left, tmp_path):
    (tmp_path / "apart").mkdir()
    path, data = tmp_path / "apart" / "m.onnx", tmp_path / "apart" / "m.data"
    onnx.save(onnx.load(write_graph(tmp_path / "g.onnx")), path, save_as_external_data=True, location="m.data", size_threshold=0)
    if left is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:left])
    assert str(data) in refused(path, tmp_path)


def test_external_data_outside_of_the_models_folder_is_not_read(changed, tmp_path):
    def outside(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    assert "must lie beside it" in refused(changed(outside), tmp_path)


@pytest.mark.parametrize("data", [b"", b"not an ONNX file", b"\x00\xff" * 500, b"\x08\x07"], ids=["empty", "text", "bytes", "no graph"])
def test_a_file_that_is_no_onnx_is_refused(data, tmp_path):
    (tmp_path / "m.onnx").write_bytes(data)
    assert "must be an ONNX file" in refused(tmp_path / "m.onnx", tmp_path)


def test_a_model_that_was_cut_off_is_refused(tmp_path):
    whole = write_graph(tmp_path / "graph.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(whole[: len(whole) // 2])
    assert "must be an ONNX file" in refused(tmp_path / "m.onnx", tmp_path)


@pytest.mark.parametrize(("text", "said"), [(b"Conv", "must be one of ONNX"), (b"input", "must be valid ONNX")])
def test_a_model_with_a_name_that_is_no_text_is_refused(tmp_path, text, said):
    whole = write_graph(tmp_path / "graph.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(whole.replace(text, b"\xff" + text[1:], 1))
    assert said in refused(tmp_path / "m.onnx", tmp_path)


def test_a_model_that_is_not_there_or_is_a_damaged_program_is_refused(tmp_path):
    assert "there is no" in refused(tmp_path / "none.onnx", tmp_path)
    (tmp_path / "m.pt2").write_bytes(b"PK nothing")
    assert "must be what torch.export.save wrote" in refused(tmp_path / "m.pt2", tmp_path)


def dynamic(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def two_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 5]))
    model.graph.node[-1].output[0] = "masked"
    model.graph.node.append(helper.make_node("Mul", ["masked", "mask"], ["logits"]))


def two_outputs(model):
    model.graph.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 8]))


def whole_numbers(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def unknown_operation(model):
    model.graph.node[1].op_type = "Frobnicate"


def foreign_operation(model):
    model.graph.node[1].domain = "nowhere"
    model.opset_import.append(helper.make_opsetid("nowhere", 1))


def newer_operation(model):
    model.graph.node[1].op_type = "Gelu"  # of opset 20


def future_opset(model):
    model.opset_import[0].version = 99


def broken_wire(model):
    model.graph.node[2].input[0] = "nobody"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dynamic, "must have a fixed shape; 'input' of .* has \\(batch, 1, 12, 12\\).* --input_shape 1,1,12,12"),
        (two_inputs, "must have one input; .* has 2: 'input', 'mask'"),
        (two_outputs, "must have one output; .* has 2: 'logits', 'h'"),
        (whole_numbers, "must be float32; 'input' of .* is uint8"),
        (unknown_operation, "has Frobnicate of opset 13"),
        (foreign_operation, "has Relu of domain 'nowhere'"),
        (newer_operation, "has Gelu of opset 13"),
        (future_opset, "uses 99"),
        (broken_wire, "must be valid ONNX; .*nobody"),
    ],
)
def test_a_model_that_breaks_a_law_is_refused_by_name(change, said, changed, tmp_path):
    import re

    line = refused(changed(change), tmp_path)
    assert re.search(said, line), line
    assert "\n" not in line
