from dataclasses import replace

import numpy as np
import pytest
from fakes.backend import FakeQuantizer
from pipeline.world import FP32, INT8, TEACHER, FakeFineTuner, FakeLabelledImages, World

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.space import Point
from autokd_edge.errors import QuantizeError
from autokd_edge.pipeline.gate import Gate, float_engine, quantized_engine
from autokd_edge.pipeline.stages import FineTuning
from autokd_edge.students.folding import initial_arrays

LAYERS = 7  # of the teacher: a stem, two blocks of two, a shortcut, a linear layer
POINT = Point(values=(("tau", 4.0),))
HEAD = f"{TEACHER.layers[-1].name}.bias"


def gated(tmp_path, *, noise, max_drop, tuner=None):
    """The teacher's engine as the gate leaves it, and the quantiser."""
    tmp_path.mkdir(exist_ok=True)
    world = World(folder=tmp_path, quantizer=FakeQuantizer(noise=noise))
    images = FakeLabelledImages(tmp_path / "images.npy")
    np.save(images.path, np.random.default_rng(0).standard_normal((200, 1, 6, 6), dtype=np.float32))
    stages, arrays = replace(world.stages, images=images), initial_arrays(TEACHER)
    logits = stages.logits(stages.engine(stages.given_graph(TEACHER, arrays, digest_of_bytes(b"raw")), FP32), FP32, images.path)
    arrays[HEAD] = arrays[HEAD] - logits.mean(axis=0)  # so that the answers are of all classes
    graph = stages.given_graph(TEACHER, arrays, digest_of_bytes(b"centred"))
    images.labels = stages.logits(stages.engine(graph, FP32), FP32, images.path).argmax(axis=1)
    assert float_engine(stages, graph, FP32).accuracy == 100
    tuning = None
    if tuner is not None:
        tuner.original = stages.store.path(graph)
        tuning = FineTuning(tuner=tuner, recipe=tuner.recipe(POINT), folder=tmp_path / "tuned")
    return quantized_engine(stages, graph, INT8, Gate(float_accuracy=100.0, max_drop=max_drop), tuning), world.quantizer


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


def test_a_graph_is_tuned_before_any_layer_goes_back_to_float(tmp_path):
    tuner = FakeFineTuner(left=0.0)
    made, quantizer = gated(tmp_path, noise=0.1, max_drop=5.0, tuner=tuner)
    found = made.quantized
    assert (made.accuracy, found.keep, quantizer.kept, tuner.tuned) == (100.0, (), [()], 1)
    assert [(one.kept, one.tuned) for one in found.tried] == [(0, False), (0, True)]
    assert found.tuning == tuner.recipe(POINT)
    assert found.untuned_accuracy == found.tried[0].accuracy < 95.0


def test_an_engine_near_enough_to_float_is_not_tuned(tmp_path):
    tuner = FakeFineTuner()
    made, _ = gated(tmp_path, noise=0.0, max_drop=0.0, tuner=tuner)
    assert (made.quantized.tuning, tuner.tuned) == (None, 0)


def test_where_tuning_is_not_enough_each_number_of_layers_in_float_is_tuned_too(tmp_path):
    plain, _ = gated(tmp_path / "plain", noise=0.4, max_drop=3.0)
    made, _ = gated(tmp_path / "tuned", noise=0.4, max_drop=3.0, tuner=FakeFineTuner(left=0.5))
    tried = [(one.kept, one.tuned) for one in made.quantized.tried]
    assert tried[:3] == [(0, False), (0, True), (1, False)]
    assert made.accuracy >= 97.0
    assert len(made.quantized.keep) <= len(plain.quantized.keep)


def test_tuning_that_fails_leaves_the_engine_as_it_would_be_without_and_says_why(tmp_path):
    plain, _ = gated(tmp_path / "plain", noise=0.1, max_drop=5.0)
    made, _ = gated(tmp_path / "failing", noise=0.1, max_drop=5.0, tuner=FakeFineTuner(failing=True))
    assert made.quantized.untunable == "the loss of tuning must be finite; it is nan at step 1 of 40"
    assert (made.engine.digest, made.quantized.tried) == (plain.engine.digest, plain.quantized.tried)


def test_tuning_that_brings_nothing_is_not_tried_again(tmp_path):
    tuner = FakeFineTuner(left=3.0)
    made, _ = gated(tmp_path, noise=0.1, max_drop=5.0, tuner=tuner)
    assert tuner.tuned == 1
    assert made.quantized.tuning is None
    assert made.quantized.untunable.startswith("it brought ")


def test_a_gate_that_tuning_does_not_pass_either_is_a_failure_that_names_the_best(tmp_path):
    tuner = FakeFineTuner(left=0.5)
    with pytest.raises(QuantizeError, match=rf"at most 0 points of 100.00 % .* of {LAYERS} layers.*at best. Hint: --max-quant-drop"):
        gated(tmp_path, noise=5.0, max_drop=0.0, tuner=tuner)
    assert tuner.tuned > 0
