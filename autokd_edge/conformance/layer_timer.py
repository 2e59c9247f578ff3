"""What every LayerTimer keeps; the tests of a backend of your own that has one inherit it."""

from __future__ import annotations

from pathlib import Path

import pytest

from autokd_edge.conformance.graphs import write_graph
from autokd_edge.core.target import Target, Variant
from autokd_edge.ports import Backend, Builder, LayerTimer


class LayerTimerContract:
    """Names the layers that ran, with their times."""

    @pytest.fixture
    def layer_timer(self, backend: Backend) -> LayerTimer:
        """Return the profiler under test."""
        assert backend.layer_timer is not None, "a backend without one does not inherit this suite"
        return backend.layer_timer

    def test_the_runtime_names_its_layers_with_their_times(
        self, layer_timer: LayerTimer, builder: Builder, variant: Variant, target: Target, tmp_path: Path
    ) -> None:
        builder.build(write_graph(tmp_path / "g.onnx", channels=64), variant=variant, target=target, out=tmp_path / "engine")
        layers = layer_timer.layers(tmp_path / "engine", variant=variant, target=target)
        assert sum("Conv" in layer.kind for layer in layers) == 3, layers
        assert {layer.precision for layer in layers} <= {"f32", "i64"}, layers  # integer layers compute shapes
        assert sum(layer.mean_ns for layer in layers) > 5_000  # 11 M MACs
        slowest = max(layers, key=lambda layer: layer.mean_ns)
        assert "Conv" in slowest.kind, layers
