"""Quantisation for our own integer kernels."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from contracts.quantizer import QuantizerContract
from fakes.graphs import write_graph, write_samples
from onnx import numpy_helper


@pytest.mark.slow
class TestTVMQuantizer(QuantizerContract):
    @pytest.fixture
    def variant(self, int8):
        return int8

    def test_activations_are_signed_where_the_dot_product_takes_signed_numbers_alone(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        arm = replace(target, name="a76", architecture="aarch64", isa_flags=("asimd", "asimddp"))
        found = []
        for where in (target, arm):
            quantizer.quantize(graph, samples, variant=variant, target=where, out=tmp_path / "q.onnx")
            made = onnx.load(tmp_path / "q.onnx").graph
            zeros = {node.input[2] for node in made.node if node.op_type == "QuantizeLinear"}
            found.append({numpy_helper.to_array(tensor).dtype for tensor in made.initializer if tensor.name in zeros})
        assert found == [{np.dtype(np.uint8)}, {np.dtype(np.int8)}]
