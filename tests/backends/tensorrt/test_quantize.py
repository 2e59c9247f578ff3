"""Quantisation by explicit symmetric pairs."""

import onnx
import pytest
from contracts.quantizer import QuantizerContract
from fakes.graphs import write_graph, write_samples

from autokd_edge.backends.tensorrt.lint import lint_quantisers
from autokd_edge.errors import QuantizeError


@pytest.mark.slow
class TestExplicitQuantizer(QuantizerContract):
    @pytest.fixture
    def variant(self, int8):
        return int8

    def test_the_pairs_obey_nvidias_rules(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "g.onnx"), write_samples(tmp_path / "s.npy")
        quantizer.quantize(graph, samples, variant=variant, target=target, out=tmp_path / "q.onnx")
        model = onnx.load(tmp_path / "q.onnx")
        lint_quantisers(model, variant, target)
        assert sum(node.op_type == "DequantizeLinear" for node in model.graph.node) >= 7  # three convolutions, their weights, the product


def test_a_chip_without_integer_products_is_refused_before_anything_runs(quantizer, int8, nano, tmp_path):
    with pytest.raises(QuantizeError, match=r"target 'jetson-nano' \(compute capability 5.3\) has no integer products. Hint: use its fp16"):
        quantizer.quantize(tmp_path / "none", tmp_path / "none", variant=int8, target=nano, out=tmp_path / "q.onnx")
