"""What is refused before a board is troubled."""

import onnx
import pytest
from fakes.graphs import write_graph, write_samples
from onnx import TensorProto, helper

from autokd_edge.backends.tensorrt.lint import lint
from autokd_edge.core.target import Variant
from autokd_edge.errors import BuildError, UnsupportedOperationError

FP16 = Variant(backend="tensorrt", precision="fp16")


@pytest.fixture
def linted(tmp_path, target):
    def check(change=lambda _model: None, *, version=(8, 2, 1), variant=FP16, target=target, graph=None):
        model = onnx.load(graph or write_graph(tmp_path / "graph.onnx"))
        change(model)
        onnx.save(model, tmp_path / "changed.onnx")
        lint(tmp_path / "changed.onnx", variant, target, version)

    return check


def named(op_type):
    def change(model):
        model.graph.node[1].op_type = op_type

    return change


def opset(version):
    def change(model):
        model.opset_import[0].version = version

    return change


def test_a_plain_student_passes_every_version(linted):
    for version in ((8, 0, 1), (8, 2, 1), (8, 4, 1), (8, 5, 2), (8, 6, 1), (10, 3, 0), (11, 1, 0)):
        linted(version=version)


NEWEST = {(8, 0, 1): 13, (8, 2, 1): 13, (8, 4, 1): 17, (8, 6, 1): 17, (10, 3, 0): 20, (10, 13, 0): 24, (11, 1, 0): 25}


@pytest.mark.parametrize(("version", "newest"), NEWEST.items())
def test_the_newest_opset_of_each_version(linted, version, newest):
    linted(opset(newest), version=version)
    with pytest.raises(UnsupportedOperationError, match=f"reads opsets up to {newest}; the graph uses {newest + 1}"):
        linted(opset(newest + 1), version=version)


def test_operations_by_version(linted):
    with pytest.raises(UnsupportedOperationError, match=r"TensorRT 8\.2\.1 has no RoiAlign; the graph has one at 'b'"):
        linted(named("RoiAlign"))
    with pytest.raises(UnsupportedOperationError, match="has no LayerNormalization"):
        linted(named("LayerNormalization"), version=(8, 4, 1))
    linted(named("LayerNormalization"), version=(8, 6, 1))
    for version in ((8, 2, 1), (10, 3, 0)):
        with pytest.raises(UnsupportedOperationError, match="has no QLinearConv"):
            linted(named("QLinearConv"), version=version)


def test_pairs_are_for_int8_and_for_chips_with_integer_products(linted, quantizer, int8, target, nano, tmp_path):
    graph, samples = write_graph(tmp_path / "g.onnx"), write_samples(tmp_path / "s.npy")
    quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
    linted(graph=tmp_path / "q.onnx", variant=int8)
    with pytest.raises(UnsupportedOperationError, match=r"target 'jetson-nano' \(compute capability 5.3\).* Hint: use its fp16 variant"):
        linted(graph=tmp_path / "q.onnx", variant=int8, target=nano)
    with pytest.raises(BuildError, match=r"variant tensorrt/fp16 got .* quantise-dequantise nodes"):
        linted(graph=tmp_path / "q.onnx")
    with pytest.raises(BuildError, match="variant tensorrt/int8 got none"):
        linted(variant=int8)


def pair(zero=0, kind=TensorProto.INT8):
    def change(model):
        model.graph.initializer.extend([helper.make_tensor("s", TensorProto.FLOAT, [], [0.1]), helper.make_tensor("z", kind, [], [zero])])
        model.graph.initializer.append(helper.make_tensor("bias", TensorProto.INT32, [1], [3]))
        model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["input", "s", "z"], ["q"]))

    return change


def test_asymmetric_pairs_and_integer_biases_are_refused(linted, int8):
    linted(pair(), variant=int8)
    with pytest.raises(UnsupportedOperationError, match="'q' has a zero point"):
        linted(pair(zero=3), variant=int8)

    def bias(model):
        pair()(model)
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["bias", "s"], ["b0"]))

    with pytest.raises(UnsupportedOperationError, match="no dequantised INT32 bias; the graph has one at 'b0'"):
        linted(bias, variant=int8)


def test_what_is_no_graph_is_a_build_error(tmp_path, target):
    for data in (b"", b"nonsense", write_graph(tmp_path / "whole.onnx").read_bytes()[:-100]):
        (tmp_path / "g.onnx").write_bytes(data)
        with pytest.raises(BuildError, match="must be an ONNX file"):
            lint(tmp_path / "g.onnx", FP16, target, (8, 2, 1))
