"""What every Quantizer keeps; the tests of a backend of your own inherit it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from autokd_edge.conformance.graphs import write_graph, write_samples
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import QuantizeError
from autokd_edge.ports import Quantizer

_LAYERS = (("a", "Conv"), ("c", "Conv"), ("e", "Conv"), ("logits", "MatMul"))


class QuantizerContract:
    """Quantises, keeps layers in float, reports on each, refuses, and repeats itself."""

    def test_the_quantised_graph_keeps_inputs_and_outputs_and_repeats_byte_by_byte(
        self, quantizer: Quantizer, int8: Variant, target: Target, tmp_path: Path
    ) -> None:
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        for name in ("a.onnx", "b.onnx"):
            quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / name)
        before, after = onnx.load(graph), onnx.load(tmp_path / "a.onnx")
        onnx.checker.check_model(after)
        assert list(after.graph.input) == list(before.graph.input)
        assert list(after.graph.output) == list(before.graph.output)
        assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes() != graph.read_bytes()

    def test_the_report_names_every_layer_and_what_quantising_did_to_it(
        self, quantizer: Quantizer, int8: Variant, target: Target, tmp_path: Path
    ) -> None:
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        report = quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
        assert [(layer.name, layer.op, layer.quantized) for layer in report.layers] == [(name, op, True) for name, op in _LAYERS]
        for layer in report.layers:
            assert layer.own_sqnr_db is not None
            assert layer.sqnr_db is not None
            assert 5 < layer.own_sqnr_db < 90
            assert 5 < layer.sqnr_db < 90
        assert report.logits_sqnr_db is not None
        assert report.other_logits_sqnr_db is None or report.logits_sqnr_db >= report.other_logits_sqnr_db

    def test_layers_that_are_kept_stay_in_float_and_the_report_says_so(
        self, quantizer: Quantizer, int8: Variant, target: Target, tmp_path: Path
    ) -> None:
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        report = quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx", keep=("c",))
        assert report.in_float == ("c",)
        assert "c" not in report.worst(len(_LAYERS))

    def test_a_damaged_graph_is_a_quantize_error_and_leaves_nothing(
        self, quantizer: Quantizer, int8: Variant, target: Target, tmp_path: Path
    ) -> None:
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        graph.write_bytes(graph.read_bytes()[:200])
        with pytest.raises(QuantizeError):
            quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "out.onnx")
        assert not (tmp_path / "out.onnx").exists()

    def test_samples_of_another_shape_are_a_quantize_error(
        self, quantizer: Quantizer, int8: Variant, target: Target, tmp_path: Path
    ) -> None:
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy", shape=(1, 9, 9))
        with pytest.raises(QuantizeError, match="9"):
            quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "out.onnx")

    def test_a_float_variant_is_a_quantize_error(self, quantizer: Quantizer, int8: Variant, target: Target, tmp_path: Path) -> None:
        graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
        with pytest.raises(QuantizeError, match="fp32"):
            quantizer.quantize(graph, samples, variant=replace(int8, precision="fp32"), target=target, out=tmp_path / "out.onnx")
