"""The OpenVINO board."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.board import BoardContract
from fakes.backend import FAKE_FINGERPRINT
from fakes.graphs import write_graph, write_samples
from fakes.link import FakeLink

from autokd_edge.backends.openvino.board import OpenVINOBoard, ran_as_asked
from autokd_edge.devices.lease import Lease
from autokd_edge.errors import MeasureError


@pytest.mark.slow
class TestOpenVINOBoard(BoardContract):
    @pytest.fixture
    def origin(self):
        return "device"

    def test_a_float_engine_runs_in_f32_alone(self, board, engine, variant, target, protocol):
        reading = board.measure(engine, variant=variant, target=target, protocol=protocol)
        assert set(reading.executed) <= {"f32", "i32", "i64"}
        assert "executed-precision-differs" not in reading.flags

    def test_a_float_engine_that_calls_itself_int8_is_flagged(self, board, engine, int8, target, protocol):
        assert "executed-precision-differs" in board.measure(engine, variant=int8, target=target, protocol=protocol).flags

    def test_a_second_inference_gives_the_same_bytes(self, board, engine, target, tmp_path):
        samples = write_samples(tmp_path / "samples.npy", 3)
        for name in ("a.npy", "b.npy"):
            board.infer(engine, samples, target=target, out=tmp_path / name)
        assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()

    def test_a_larger_engine_takes_more_time_and_memory(self, board, builder, variant, target, protocol, tmp_path):
        readings = []
        for channels in (8, 256):
            graph = write_graph(tmp_path / "g.onnx", channels=channels)
            builder.build(graph, variant=variant, target=target, out=tmp_path / "engine")
            readings.append(board.measure(tmp_path / "engine", variant=variant, target=target, protocol=protocol))
        small, large = readings
        assert large.median_ns > 2 * small.median_ns
        assert large.memory.engine_bytes > small.memory.engine_bytes + 2 * 2**20  # 4.7 MB of weights

    def test_logits_that_are_not_finite_are_a_failure(self, board, builder, variant, target, tmp_path):
        graph = write_graph(tmp_path / "g.onnx", scale=1e38)
        builder.build(graph, variant=variant, target=target, out=tmp_path / "engine")
        np.save(tmp_path / "samples.npy", np.full((2, 1, 12, 12), 1e6, np.float32))
        with pytest.raises(MeasureError, match="logits must be finite; sample 0 is not"):
            board.infer(tmp_path / "engine", tmp_path / "samples.npy", target=target, out=tmp_path / "logits.npy")


# What a device program would say of a steady engine.
STEADY = {
    "clock": "fake",
    "threads": 1,
    "pinned": True,
    "warm": True,
    "blocks_ns": [[1000] * 20] * 2,
    "peak_rss_bytes": 150,
    "executed": {"f32": 3},
    "sentinel": {"before_ns": 1000, "after_ns": 1000},
    "toolchain": {"openvino": "1"},
}
MOVED = {**STEADY, "sentinel": {"before_ns": 1000, "after_ns": 1200}}


class FakeDevice:
    """Answers each mode in turn: null peaks of 90, 100, 130 bytes, and the given readings."""

    def __init__(self, tmp_path, *measured):
        peaks = iter([90, 130, 100])
        answers = iter(measured)
        self.link = FakeLink(
            lambda argv, _request: {
                "build": dict,
                "memory": lambda: {"peak_rss_bytes": next(peaks)},
                "measure": lambda: next(answers),
            }[argv[-1]]()
        )
        (tmp_path / "engine").write_bytes(b"engine")
        self.lease = Lease(tmp_path / "lock", wait_s=0)
        self.board = OpenVINOBoard(self.link, self.lease, tmp_path / "references", fingerprint=lambda: FAKE_FINGERPRINT)
        self._engine = tmp_path / "engine"

    def measure(self, variant, target, protocol):
        return self.board.measure(self._engine, variant=variant, target=target, protocol=protocol)


def test_the_null_engine_is_measured_three_times_once_and_its_median_is_the_baseline(tmp_path, variant, target, protocol):
    device = FakeDevice(tmp_path, STEADY, STEADY)
    readings = [device.measure(variant, target, protocol) for _ in range(2)]
    assert [reading.memory.null_rss_bytes for reading in readings] == [100, 100]
    assert device.link.modes == ["build", "build", "memory", "memory", "memory", "measure", "measure"]


def test_a_void_reading_is_taken_again_in_a_fresh_process(tmp_path, variant, target, protocol):
    device = FakeDevice(tmp_path, MOVED, STEADY)
    reading = device.measure(variant, target, replace(protocol, retries=1))
    assert device.link.modes.count("measure") == 2
    assert reading.flags == ("few-samples",)


def test_the_fastest_sentinel_is_the_level_that_later_readings_are_held_to(tmp_path, variant, target, protocol):
    device = FakeDevice(tmp_path, *({**STEADY, "sentinel": {"before_ns": ns, "after_ns": ns}} for ns in (1000, 900, 1000)))
    flags = [device.measure(variant, target, protocol).flags for _ in range(3)]
    assert flags == [("few-samples",), ("few-samples",), ("machine-slowed", "few-samples")]


def test_reference_engines_are_built_once_for_all_boards_of_a_folder(tmp_path, variant, target, protocol):
    FakeDevice(tmp_path, STEADY).measure(variant, target, protocol)
    again = FakeDevice(tmp_path, STEADY)
    again.measure(variant, target, protocol)
    assert "build" not in again.link.modes
    assert {path.suffix for path in (tmp_path / "references").iterdir()} == {".blob"}


def test_nobody_measures_or_runs_next_to_somebody(tmp_path, variant, target, protocol):
    device = FakeDevice(tmp_path, STEADY)
    with device.lease.hold("another search"):
        with pytest.raises(MeasureError, match="another search"):
            device.measure(variant, target, protocol)
        with pytest.raises(MeasureError, match="another search"):
            device.board.infer(tmp_path / "engine", tmp_path / "engine", target=target, out=tmp_path / "out")
    assert "measure" not in device.link.modes


def test_a_device_that_does_not_answer_in_time_is_a_retryable_measure_error(tmp_path, variant, target, protocol):
    device = FakeDevice(tmp_path, MeasureError("must end within 60 s", retryable=True))
    with pytest.raises(MeasureError, match="60 s") as caught:
        device.measure(variant, target, protocol)
    assert caught.value.retryable


def test_a_variant_of_another_backend_is_a_measure_error(tmp_path, variant, target, protocol):
    with pytest.raises(MeasureError, match="got 'tvm/fp32'"):
        FakeDevice(tmp_path).measure(replace(variant, backend="tvm"), target, protocol)


@pytest.mark.parametrize(
    ("precision", "executed", "as_asked"),
    [
        ("fp32", {"f32": 40, "i32": 2, "i64": 1}, True),
        ("fp32", {"f32": 39, "bf16": 1}, False),
        ("fp32", {"bf16": 40}, False),
        ("fp32", {"f32": 39, "u8": 1}, False),
        ("int8", {"u8": 20, "f32": 3}, True),
        ("int8", {"i8": 1, "f32": 30}, True),
        ("int8", {"f32": 40, "i32": 2}, False),
        ("int8", {"f32": 40, "u8": 0}, False),
    ],
)
def test_precision_is_as_asked_where_float_ran_in_f32_and_int8_in_integers(precision, executed, as_asked):
    assert ran_as_asked(precision, executed) is as_asked
