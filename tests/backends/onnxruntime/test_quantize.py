"""ONNX Runtime's quantisation for its own kernels."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from contracts.quantizer import QuantizerContract
from fakes.graphs import write_graph, write_samples
from onnx import numpy_helper

from autokd_edge.errors import QuantizeError


@pytest.mark.slow
class TestONNXRuntimeQuantizer(QuantizerContract):
    @pytest.fixture
    def variant(self, int8):
        return int8

    def test_where_int8_saturates_weights_keep_to_seven_bits(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        largest = []
        for saturates in (False, True):
            made = replace(target, int8_saturates=saturates)
            quantizer.quantize(graph, samples, variant=variant, target=made, out=tmp_path / "q.onnx")
            arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(tmp_path / "q.onnx").graph.initializer]
            weights = [array for array in arrays if array.dtype == np.int8 and array.ndim > 1]
            assert len(weights) == 4  # three convolutions and the matrix product
            largest.append(max(int(np.abs(array.astype(int)).max()) for array in weights))
        assert largest == [127, 64]

    def test_the_logits_are_not_rounded(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        quantizer.quantize(graph, samples, variant=variant, target=target, out=tmp_path / "q.onnx")
        last = next(node for node in onnx.load(tmp_path / "q.onnx").graph.node if "logits" in node.output)
        assert last.op_type == "MatMul"

    def test_dynamic_int8_is_refused_and_the_reason_is_given(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        with pytest.raises(QuantizeError, match=r"int8-dynamic is refused.*Hint: use onnxruntime/int8"):
            quantizer.quantize(graph, samples, variant=replace(variant, precision="int8-dynamic"), target=target, out=tmp_path / "q.onnx")
        assert not (tmp_path / "q.onnx").exists()
