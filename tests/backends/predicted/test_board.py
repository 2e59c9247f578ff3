from dataclasses import replace

import numpy as np
import onnx
import pytest
from fakes.backend import FAKE_FINGERPRINT, FAKE_PROTOCOL, FAKE_TARGET, FAKE_VARIANTS, fake_backend
from fakes.graphs import write_graph
from fakes.recording import latency_ns, member_graph, sample_recording

from autokd_edge.backends.predicted.board import GraphBuilder, PredictedBoard
from autokd_edge.backends.predicted.counts import counts_of
from autokd_edge.core.target import Variant
from autokd_edge.devices.recordings import digest_of_recording
from autokd_edge.errors import BuildError, MeasureError

FP32, INT8 = FAKE_VARIANTS
RECORDING = sample_recording(FAKE_TARGET, FAKE_FINGERPRINT)


@pytest.fixture(scope="module")
def board():
    return PredictedBoard(RECORDING, digest_of_recording(RECORDING), fake_backend())


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    graph = tmp_path_factory.mktemp("engine") / "graph.onnx"
    onnx.save(member_graph(1000)[1], graph)
    GraphBuilder({}, digest_of_recording(RECORDING)).build(graph, variant=FP32, target=FAKE_TARGET, out=graph.with_suffix(".blob"))
    return graph.with_suffix(".blob")


def read(board, engine, variant=FP32):
    return board.measure(engine, variant=variant, target=FAKE_TARGET, protocol=FAKE_PROTOCOL)


def test_a_reading_is_predicted_and_says_from_what_and_how_well(board, engine):
    reading = read(board, engine)
    assert reading.origin == "predicted"
    assert reading.median_ns == pytest.approx(latency_ns(counts_of(onnx.load(engine))), rel=0.05)
    assert reading.prediction.recording == digest_of_recording(RECORDING)
    assert reading.prediction.networks == 40
    assert 0 < reading.prediction.mean_error < 0.05
    assert reading.flags == ()
    assert reading.fingerprint == FAKE_FINGERPRINT
    assert read(board, engine, INT8).median_ns < 0.7 * reading.median_ns


def test_a_percentile_and_its_bound_hold_the_error_of_the_prediction(board, engine):
    reading = read(board, engine)
    assert reading.median_ns < reading.percentile_ns(90.0) < reading.upper_bound_ns(99.0)
    assert reading.upper_bound_ns(99.9) is None  # nobody can say that of so few networks


def test_a_network_unlike_the_recorded_ones_is_flagged(board, tmp_path):
    write_graph(tmp_path / "small.onnx")  # 12x12 pixels
    assert read(board, tmp_path / "small.onnx").flags == ("extrapolated",)


def test_a_variant_that_was_not_recorded_is_not_predicted(board, engine):
    with pytest.raises(
        MeasureError, match="a variant must have been recorded to be predicted; fake/fp16 was not, only fake/fp32, fake/int8"
    ):
        read(board, engine, Variant(backend="fake", precision="fp16"))


def test_what_is_no_graph_is_not_built(tmp_path):
    whole = write_graph(tmp_path / "whole.onnx").read_bytes()
    builder = GraphBuilder({}, digest_of_recording(RECORDING))
    for data in (b"", b"no graph", whole[:-100], whole.replace(b"Conv", b"\xffonv"), None):
        (tmp_path / "broken.onnx").unlink(missing_ok=True)
        if data is not None:
            (tmp_path / "broken.onnx").write_bytes(data)
        with pytest.raises(BuildError, match="a graph to predict must be ONNX"):
            builder.build(tmp_path / "broken.onnx", variant=FP32, target=FAKE_TARGET, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_logits_are_those_of_the_graph(board, engine, tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((2, 1, 28, 28), np.float32))
    board.infer(engine, tmp_path / "in.npy", variant=FP32, target=FAKE_TARGET, out=tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").shape == (2, 10)


def test_a_reading_is_predicted_exactly_where_it_says_how(board, engine):
    reading = read(board, engine)
    with pytest.raises(ValueError, match="a predicted reading, and no other, must say how it was predicted"):
        replace(reading, origin="device")
    with pytest.raises(ValueError, match="a predicted reading, and no other, must say how it was predicted"):
        replace(reading, prediction=None)
