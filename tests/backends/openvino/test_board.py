"""The OpenVINO board."""

import pytest
from contracts.board import BoardContract
from fakes.graphs import write_samples


@pytest.mark.slow
class TestOpenVINOBoard(BoardContract):
    @pytest.fixture
    def origin(self):
        return "device"

    def test_a_float_engine_runs_in_f32_alone(self, board, engine, variant, target, protocol):
        reading = board.measure(engine, variant=variant, target=target, protocol=protocol)
        assert set(reading.executed) <= {"f32", "i32", "i64"}
        assert "executed-precision-differs" not in reading.flags

    def test_a_second_inference_gives_the_same_bytes(self, board, engine, variant, target, tmp_path):
        samples = write_samples(tmp_path / "samples.npy", 3)
        for name in ("a.npy", "b.npy"):
            board.infer(engine, samples, variant=variant, target=target, out=tmp_path / name)
        assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
