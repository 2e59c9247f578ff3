from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fakes.backend import FakeQuantizer
from pipeline.world import FP32, INT8, TEACHER, World

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import QuantizeError
from autokd_edge.pipeline.gate import float_engine, quantized_engine
from autokd_edge.students.folding import initial_arrays

LAYERS = 7  # of the teacher: a stem, two blocks of two, a shortcut, a linear layer
HEAD = f"{TEACHER.layers[-1].name}.bias"


@dataclass
class FakeLabelledImages:
    """Images labelled by the float network itself: every answer that quantising changes is an error."""

    path: Path
    labels: np.ndarray | None = None

    def inputs(self, split):  # noqa: ARG002  the port's signature
        return self.path, self.labels


def gated(tmp_path, *, noise, max_drop):
    """The teacher's engine as the gate leaves it, and the quantiser."""
    world = World(folder=tmp_path, quantizer=FakeQuantizer(noise=noise))
    images = FakeLabelledImages(tmp_path / "images.npy")
    np.save(images.path, np.random.default_rng(0).standard_normal((200, 1, 6, 6), dtype=np.float32))
    stages, arrays = replace(world.stages, images=images), initial_arrays(TEACHER)
    logits = stages.logits(stages.engine(stages.given_graph(TEACHER, arrays, digest_of_bytes(b"raw")), FP32), FP32, images.path)
    arrays[HEAD] = arrays[HEAD] - logits.mean(axis=0)  # so that the answers are of all classes
    graph = stages.given_graph(TEACHER, arrays, digest_of_bytes(b"centred"))
    images.labels = stages.logits(stages.engine(graph, FP32), FP32, images.path).argmax(axis=1)
    assert float_engine(stages, graph, FP32).accuracy == 100
    return quantized_engine(stages, graph, INT8, float_accuracy=100.0, max_drop=max_drop), world.quantizer


def test_an_engine_near_enough_to_float_keeps_every_layer_quantised(tmp_path):
    made, quantizer = gated(tmp_path, noise=0.0, max_drop=0.0)
    assert (made.accuracy, made.quantized.keep, quantizer.kept) == (100.0, (), [()])
    assert made.engine.digest != made.graph.digest


def test_the_noisiest_layers_go_back_to_float_until_the_gate_holds(tmp_path):
    made, quantizer = gated(tmp_path, noise=0.1, max_drop=5.0)
    tried, kept = made.quantized.tried, made.quantized.keep
    assert tried[0].accuracy < 95.0 <= made.accuracy == tried[-1].accuracy
    assert [one.kept for one in tried] == [0, 1, 2, 4, 6][: len(tried)]
    assert quantizer.kept == [(), *quantizer.kept[1:-1], kept]
    assert kept == made.quantized.report.in_float
    assert kept == tuple(layer.name for layer in made.quantized.report.layers[: len(kept)])  # the fake's first layers are its noisiest


def test_a_gate_that_nothing_passes_is_a_failure_that_names_the_best(tmp_path):
    with pytest.raises(QuantizeError, match=rf"at most 0 points of 100.00 % .* of {LAYERS} layers.*Hint: --max-quant-drop"):
        gated(tmp_path, noise=5.0, max_drop=0.0)
