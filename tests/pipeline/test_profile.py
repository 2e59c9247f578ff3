"""A network in every variant of a target, with a backend that measures nothing."""

import dataclasses

import pytest
from fakes.backend import FAKE_PROTOCOL, FAKE_TARGET, FAKE_VARIANTS, FakeBoard, FakeBuilder, FakeQuantizer, fake_backend
from fakes.graphs import write_graph, write_samples
from pipeline.world import FakeTuner

from autokd_edge.core.profile import LayerTime, LeftOut, Profiled
from autokd_edge.core.pupil import Failed
from autokd_edge.errors import MeasureError, ModelError, RuntimeMissingError
from autokd_edge.pipeline.given_model import read_model
from autokd_edge.pipeline.profile import Profiler
from autokd_edge.ports import Backend

LAYER = LayerTime(name="a", kind="Conv", precision="f32", mean_ns=1000)


class FakeLayerTimer:
    def layers(self, engine, *, variant, target):  # noqa: ARG002  the port's signature
        return (LAYER,)


class FakeDeadBoard(FakeBoard):
    def measure(self, engine, *, variant, target, protocol):  # noqa: ARG002  the port's signature
        raise MeasureError("the board does not answer", hint="plug it in", retryable=True)


@pytest.fixture
def model(tmp_path):
    return read_model(write_graph(tmp_path / "graph.onnx"), tmp_path / "model.onnx")


def profiler(backend=None, **changes):
    plain = {"target": FAKE_TARGET, "backends": {"fake": backend or fake_backend()}, "protocol": FAKE_PROTOCOL, "calibration": None}
    return Profiler(**{**plain, "layers": False, **changes})


def outcomes(made, model):
    heard = []
    rows = made.rows(model, heard.append)
    assert [row.variant for row in rows] == heard == list(made.target.variants)
    return [row.outcome for row in rows]


def test_every_variant_is_built_and_measured_in_the_targets_order(model, tmp_path):
    float_row, int8_row = outcomes(profiler(calibration=write_samples(tmp_path / "s.npy")), model)
    assert isinstance(float_row, Profiled)
    assert isinstance(int8_row, Profiled)
    assert float_row.measurement.variant == FAKE_VARIANTS[0]
    assert int8_row.measurement.median_ns < float_row.measurement.median_ns
    assert float_row.engine_bytes > model.path.stat().st_size
    assert float_row.layers is None


def test_int8_without_calibration_images_is_left_out_and_that_is_said(model):
    float_row, int8_row = outcomes(profiler(), model)
    assert isinstance(float_row, Profiled)
    assert int8_row == LeftOut(reason="int8 needs calibration images: --data")


def test_a_variant_that_fails_is_a_row_and_not_the_end(model, tmp_path):
    bad = write_samples(tmp_path / "s.npy", shape=(3, 2, 2))
    float_row, int8_row = outcomes(profiler(calibration=bad), model)
    assert isinstance(float_row, Profiled)
    assert isinstance(int8_row, Failed)
    assert (int8_row.stage, int8_row.error, int8_row.retryable) == ("quantize", "QuantizeError", False)


def test_a_board_that_does_not_answer_is_a_failure_that_may_be_tried_again(model):
    dead = Backend(name="fake", builder=FakeBuilder(), quantizer=FakeQuantizer(), board=FakeDeadBoard())
    failed, _ = outcomes(profiler(dead), model)
    assert failed == Failed(stage="measure", error="MeasureError", message="the board does not answer. Hint: plug it in", retryable=True)


def test_a_quantised_model_is_int8_alone_and_needs_no_images(model):
    float_row, int8_row = outcomes(profiler(), dataclasses.replace(model, quantized=True))
    assert float_row == LeftOut(reason="the model is quantised already: it is no fp32 network")
    assert isinstance(int8_row, Profiled)


def test_a_graph_that_was_quantised_before_is_taken_for_its_own_variant(model, tmp_path):
    FakeQuantizer().quantize(
        model.path, write_samples(tmp_path / "s.npy"), variant=FAKE_VARIANTS[1], target=FAKE_TARGET, out=tmp_path / "q.onnx"
    )
    _, int8_row = outcomes(profiler(quantized={FAKE_VARIANTS[1]: tmp_path / "q.onnx"}), model)
    assert isinstance(int8_row, Profiled)


def test_layers_are_timed_where_they_are_asked_for_and_the_runtime_can_say(model):
    with_timer = dataclasses.replace(fake_backend(), layer_timer=FakeLayerTimer())
    assert outcomes(profiler(with_timer, layers=True), model)[0].layers == (LAYER,)
    assert outcomes(profiler(with_timer), model)[0].layers is None
    assert outcomes(profiler(layers=True), model)[0].layers is None


def test_an_opset_that_the_target_does_not_read_is_refused(model):
    with pytest.raises(ModelError, match="target 'fake-board' reads ONNX up to opset 13; the model uses opset 14"):
        profiler().rows(dataclasses.replace(model, opset=14), lambda _variant: None)


@pytest.mark.parametrize("asked", [None, 4])
def test_engines_are_tuned_where_that_is_asked_for_and_the_row_says_what_came_of_it(asked, model):
    tuner = FakeTuner()
    made = profiler(dataclasses.replace(fake_backend(), tuner=tuner), tune=asked)
    first = made.rows(model, [].append)[0].outcome
    assert tuner.tuned == (0 if asked is None else 1)
    assert (None if first.tuning is None else first.tuning.most) == asked


class FakeBareBuilder(FakeBuilder):
    def build(self, graph, *, variant, target, out):  # noqa: ARG002  the port's signature
        raise RuntimeMissingError("'ssh://pi' must have the package 'onnxruntime'", hint="autokd-edge doctor --target TARGET --install")


def test_a_missing_runtime_is_no_failure_that_passes_and_names_the_target_in_what_mends_it(model):
    bare = Backend(name="fake", builder=FakeBareBuilder(), quantizer=FakeQuantizer(), board=FakeBoard())
    row, _ = outcomes(profiler(bare), model)
    assert (row.error, row.retryable) == ("RuntimeMissingError", False)
    assert row.message.endswith(f"Hint: autokd-edge doctor --target {FAKE_TARGET.name} --install")
