"""Building through trtexec: what goes to the board, and how each way to fail is named."""

import onnx
import pytest
from contracts.builder import BuilderContract
from fakes.graphs import write_graph, write_samples
from fakes.jetson import FakeJetson
from fakes.link import FakeLink

from autokd_edge.backends.tensorrt.builder import TrtexecBuilder
from autokd_edge.backends.tensorrt.trtexec import Trtexec
from autokd_edge.core.target import Variant
from autokd_edge.errors import (
    BuildError,
    BuildOutOfMemoryError,
    BuildTimedOutError,
    ConnectionLostError,
    RuntimeMissingError,
    UnsupportedOperationError,
)

FP16 = Variant(backend="tensorrt", precision="fp16")


@pytest.mark.slow
class TestTrtexecBuilder(BuilderContract):
    pass


@pytest.fixture
def built(tmp_path, nano):
    """Builds the small graph on a board; gives the engine's bytes."""

    def build(*, variant=FP16, target=nano, graph=None, **board):
        jetson = FakeJetson(tmp_path, **board)
        graph = graph or write_graph(tmp_path / "graph.onnx")
        try:
            jetson.builder.build(graph, variant=variant, target=target, out=tmp_path / "engine")
        except Exception:  # any failure must leave nothing behind; it is raised on
            assert not (tmp_path / "engine").exists()
            raise
        return (tmp_path / "engine").read_bytes()

    return build


@pytest.mark.parametrize("version", ["8.2.1", "8.6.1", "10.3.0"])
def test_every_version_takes_the_flags_that_are_written_for_it(built, version):
    engine = built(version=version)
    assert b'"precision": "FP16"' in engine
    assert b'"detailed": true' in engine


def test_11_has_no_fp16_and_that_is_said_before_it_is_asked(built, target):
    with pytest.raises(UnsupportedOperationError, match=r"TensorRT 11\.1\.0 runs networks in the types of their graph"):
        built(version="11.1.0", target=target)
    assert b'"precision": "FP32"' in built(version="11.1.0", variant=Variant(backend="tensorrt", precision="fp32"), target=target)


def test_int8_is_built_by_explicit_pairs_where_the_chip_has_integer_products(built, quantizer, int8, target, tmp_path):
    graph, samples = write_graph(tmp_path / "g.onnx"), write_samples(tmp_path / "s.npy")
    quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
    assert b'"precision": "Int8"' in built(version="8.6.1", variant=int8, target=target, graph=tmp_path / "q.onnx")


def test_int8_is_never_built_for_a_jetson_nano(built, quantizer, int8, target, tmp_path):
    with pytest.raises(BuildError, match="target 'jetson-nano' has the variants tensorrt/fp32, tensorrt/fp16; got 'tensorrt/int8'"):
        built(variant=int8)
    graph, samples = write_graph(tmp_path / "g.onnx"), write_samples(tmp_path / "s.npy")
    quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
    with pytest.raises(UnsupportedOperationError, match=r"compute capability 5.3.*has no quantise-dequantise pairs"):
        built(graph=tmp_path / "q.onnx")


@pytest.mark.parametrize(
    ("fault", "failure", "said"),
    [
        ("memory", BuildOutOfMemoryError, "the device has not the memory to build this graph: 1: .*out of memory"),
        ("killed", BuildOutOfMemoryError, "trtexec was killed while it built"),
    ],
)
def test_a_board_without_memory_is_a_failure_of_its_own(built, fault, failure, said):
    with pytest.raises(failure, match=said) as caught:
        built(fault=fault)
    assert not caught.value.retryable


def test_a_build_that_hangs_is_ended_and_may_be_tried_again(tmp_path, nano):
    jetson = FakeJetson(tmp_path, fault="hang", timeout_s=1.5)
    with pytest.raises(BuildTimedOutError, match=r"must end within 1.5 s") as caught:
        jetson.builder.build(write_graph(tmp_path / "g.onnx"), variant=FP16, target=nano, out=tmp_path / "engine")
    assert caught.value.retryable
    assert not (tmp_path / "engine").exists()


def test_a_board_that_is_lost_stays_what_it_is(nano, tmp_path):
    link = FakeLink(lambda _argv, _request: ConnectionLostError("the connection broke"))
    with pytest.raises(ConnectionLostError):
        TrtexecBuilder(Trtexec(link=link)).build(write_graph(tmp_path / "g"), variant=FP16, target=nano, out=tmp_path / "engine")


def test_an_operation_that_only_the_board_refuses_is_named(built, tmp_path):
    model = onnx.load(write_graph(tmp_path / "g.onnx"))
    model.graph.node[1].op_type = "Softsign"
    onnx.save(model, tmp_path / "g.onnx")
    with pytest.raises(UnsupportedOperationError, match="this TensorRT has no operation Softsign"):
        built(graph=tmp_path / "g.onnx")


def test_a_machine_without_trtexec_says_where_it_looked(nano, tmp_path):
    jetson = FakeJetson(tmp_path)
    missing = TrtexecBuilder(Trtexec(link=jetson.trtexec.link, places=("/nowhere/trtexec",)))
    with pytest.raises(RuntimeMissingError, match=r"must have trtexec at one of /nowhere/trtexec; it has not. Hint: --device"):
        missing.build(write_graph(tmp_path / "g"), variant=FP16, target=nano, out=tmp_path / "engine")


def test_something_that_calls_itself_trtexec_and_says_no_version_is_refused(tmp_path):
    program = tmp_path / "trtexec"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    jetson = FakeJetson(tmp_path)
    with pytest.raises(BuildError, match="must begin with a banner that says its version; it said 'hello"):
        TrtexecBuilder(Trtexec(link=jetson.trtexec.link, places=(str(program),))).toolchain()


def test_the_toolchain_is_the_boards_version_and_what_drives_it(tmp_path):
    toolchain = FakeJetson(tmp_path, "10.3.0").builder.toolchain()
    assert toolchain["tensorrt"] == "10.3.0"
    assert {"tensorrt/flags.py", "tensorrt/trtexec_program.py"} < set(toolchain)


def test_a_graph_of_an_open_shape_does_not_reach_the_board(built, tmp_path):
    model = onnx.load(write_graph(tmp_path / "g.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, tmp_path / "g.onnx")
    with pytest.raises(BuildError, match="input 'input' has a dimension that is open"):
        built(graph=tmp_path / "g.onnx")
