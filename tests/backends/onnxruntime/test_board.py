"""The ONNX Runtime board."""

import onnx
import pytest
from contracts.board import BoardContract
from fakes.graphs import write_samples

from autokd_edge.backends.onnxruntime.driver import VECTORS_KEY
from autokd_edge.errors import MeasureError


@pytest.mark.slow
class TestONNXRuntimeBoard(BoardContract):
    @pytest.fixture
    def origin(self):
        return "device"

    def test_an_engine_blocked_for_other_vectors_is_refused_because_its_numbers_would_be_wrong(
        self, board, engine, variant, target, tmp_path
    ):
        model = onnx.load(engine)
        onnx.helper.set_model_props(model, {VECTORS_KEY: "of another processor"})
        onnx.save(model, engine)
        samples = write_samples(tmp_path / "samples.npy", 2)
        with pytest.raises(MeasureError, match=r"built for this processor's vectors, \w+; this one is for of another processor"):
            board.infer(engine, samples, variant=variant, target=target, out=tmp_path / "logits.npy")
        assert not (tmp_path / "logits.npy").exists()
