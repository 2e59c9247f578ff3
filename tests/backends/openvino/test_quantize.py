"""NNCF's quantisation for OpenVINO."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from contracts.quantizer import QuantizerContract
from fakes.graphs import write_graph, write_samples
from fakes.link import FakeLink
from onnx import numpy_helper

from autokd_edge.backends.openvino.quantize import NNCFQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.errors import MeasureError, QuantizeError

INT8 = Variant(backend="openvino", precision="int8")


@pytest.fixture(scope="module")
def quantized(backend, target, tmp_path_factory):
    """A folder with a graph, samples and the graph quantised by them for a processor with VNNI."""
    folder = tmp_path_factory.mktemp("quantized")
    graph, samples = write_graph(folder / "graph.onnx", channels=16), write_samples(folder / "samples.npy", 32)
    without = replace(target, int8_saturates=False)
    backend.quantizer.quantize(graph, samples, variant=INT8, target=without, out=folder / "q.onnx")
    return folder


@pytest.mark.slow
class TestNNCFQuantizer(QuantizerContract):
    @pytest.fixture
    def variant(self, int8):
        return int8

    def test_the_engine_runs_in_integers_and_its_logits_stay_near(self, quantized, builder, board, variant, target, protocol, tmp_path):
        logits = []
        for name, made in (("graph.onnx", replace(variant, precision="fp32")), ("q.onnx", variant)):
            builder.build(quantized / name, variant=made, target=target, out=tmp_path / "engine")
            board.infer(tmp_path / "engine", quantized / "samples.npy", variant=made, target=target, out=tmp_path / "logits.npy")
            logits.append(np.load(tmp_path / "logits.npy"))
        reading = board.measure(tmp_path / "engine", variant=variant, target=target, protocol=protocol)
        assert reading.executed.get("u8", 0) + reading.executed.get("i8", 0) >= 3  # three convolutions
        assert "executed-precision-differs" not in reading.flags
        error = np.abs(logits[0] - logits[1]).max()
        assert 0 < error < 0.05 * np.abs(logits[0]).max()

    def test_where_int8_saturates_weights_keep_to_seven_bits(self, quantizer, quantized, variant, target, tmp_path):
        graph, samples, saturating = quantized / "graph.onnx", quantized / "samples.npy", replace(target, int8_saturates=True)
        quantizer.quantize(graph, samples, variant=variant, target=saturating, out=tmp_path / "q.onnx")
        assert _largest_weight(onnx.load(quantized / "q.onnx")) >= 127
        assert _largest_weight(onnx.load(tmp_path / "q.onnx")) <= 64


def test_a_quantiser_that_hangs_is_a_retryable_quantize_error(int8, target, tmp_path):
    quantizer = NNCFQuantizer(FakeLink(lambda _argv, _request: MeasureError("must end within 600 s", retryable=True)))
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
    with pytest.raises(QuantizeError, match="600 s") as caught:
        quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
    assert caught.value.retryable
    assert not (tmp_path / "q.onnx").exists()


def _largest_weight(model):
    """Largest |w| in int8 steps: of stored integers, or of float weights over the scale of their quantiser."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    largest = 0.0
    for node in model.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"} and node.input[0] in constants:
            weights = np.abs(constants[node.input[0]].astype(np.float64))
            scale = constants[node.input[1]].reshape(-1, *[1] * (weights.ndim - 1)) if node.op_type == "QuantizeLinear" else 1.0
            largest = max(largest, float((weights / scale).max()))
    return round(largest)
