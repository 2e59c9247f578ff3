"""What every Quantizer keeps; an adapter's test class inherits it and gives ``quantizer``, ``variant`` (int8) and ``target``."""

from dataclasses import replace

import onnx
import pytest
from fakes.graphs import write_graph, write_samples

from autokd_edge.errors import QuantizeError


class QuantizerContract:
    def test_the_quantised_graph_keeps_inputs_and_outputs_and_repeats_byte_by_byte(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        for name in ("a.onnx", "b.onnx"):
            quantizer.quantize(graph, samples, variant=variant, target=target, out=tmp_path / name)
        before, after = onnx.load(graph), onnx.load(tmp_path / "a.onnx")
        onnx.checker.check_model(after)
        assert list(after.graph.input) == list(before.graph.input)
        assert list(after.graph.output) == list(before.graph.output)
        assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes() != graph.read_bytes()

    def test_the_report_names_every_layer_and_what_quantising_did_to_it(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        report = quantizer.quantize(graph, samples, variant=variant, target=target, out=tmp_path / "q.onnx")
        assert [(layer.name, layer.op, layer.quantized) for layer in report.layers] == [
            (name, op, True) for name, op in (("a", "Conv"), ("c", "Conv"), ("e", "Conv"), ("logits", "MatMul"))
        ]
        assert all(5 < layer.own_sqnr_db < 90 and 5 < layer.sqnr_db < 90 for layer in report.layers)
        assert report.logits_sqnr_db >= report.other_logits_sqnr_db

    def test_layers_that_are_kept_stay_in_float_and_the_report_says_so(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        report = quantizer.quantize(graph, samples, variant=variant, target=target, out=tmp_path / "q.onnx", keep=("c",))
        assert report.in_float == ("c",)
        assert "c" not in report.worst(4)

    def test_a_damaged_graph_is_a_quantize_error_and_leaves_nothing(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        graph.write_bytes(graph.read_bytes()[:200])
        with pytest.raises(QuantizeError):
            quantizer.quantize(graph, samples, variant=variant, target=target, out=tmp_path / "out.onnx")
        assert not (tmp_path / "out.onnx").exists()

    def test_samples_of_another_shape_are_a_quantize_error(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy", shape=(1, 9, 9))
        with pytest.raises(QuantizeError, match="9"):
            quantizer.quantize(graph, samples, variant=variant, target=target, out=tmp_path / "out.onnx")

    def test_a_float_variant_is_a_quantize_error(self, quantizer, variant, target, tmp_path):
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        with pytest.raises(QuantizeError, match="fp32"):
            quantizer.quantize(graph, samples, variant=replace(variant, precision="fp32"), target=target, out=tmp_path / "out.onnx")
