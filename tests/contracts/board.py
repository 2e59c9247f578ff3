"""What every Board keeps; an adapter's test class inherits it.

Fixtures to give: ``board``, ``builder`` (of the same backend), ``variant``, ``target``, ``protocol``
(a short one), ``origin`` (what its readings must call themselves).
"""

import numpy as np
import pytest
from fakes.graphs import CLASSES, logits_by_onnxruntime, write_graph, write_samples

from autokd_edge.core.codec import decode, encode
from autokd_edge.core.digest import digest_of_file, digest_of_json
from autokd_edge.core.measure import Measurement
from autokd_edge.errors import MeasureError


class BoardContract:
    @pytest.fixture
    def engine(self, builder, variant, target, tmp_path):
        builder.build(write_graph(tmp_path / "graph.onnx"), variant=variant, target=target, out=tmp_path / "engine")
        return tmp_path / "engine"

    def test_a_reading_names_what_was_read_and_how(self, board, engine, variant, target, protocol, origin):
        reading = board.measure(engine, variant=variant, target=target, protocol=protocol)
        assert (reading.origin, reading.target, reading.variant) == (origin, target.name, variant)
        assert reading.engine == digest_of_file(engine)
        assert reading.protocol == protocol.name
        assert reading.protocol_digest == digest_of_json(encode(protocol))
        assert reading.threads == target.threads
        assert reading.toolchain
        assert sum(reading.executed.values()) > 0

    def test_a_reading_keeps_every_sample_of_every_block(self, board, engine, variant, target, protocol):
        reading = board.measure(engine, variant=variant, target=target, protocol=protocol)
        assert len(reading.blocks_ns) == protocol.blocks
        assert all(len(block) >= protocol.block_runs for block in reading.blocks_ns)
        assert reading.memory.peak_rss_bytes > reading.memory.null_rss_bytes // 2 > 0

    def test_a_reading_survives_being_written_and_read_back(self, board, engine, variant, target, protocol):
        reading = board.measure(engine, variant=variant, target=target, protocol=protocol)
        assert decode(Measurement, encode(reading)) == reading

    def test_a_damaged_engine_is_a_measure_error(self, board, engine, variant, target, protocol, tmp_path):
        engine.write_bytes(engine.read_bytes()[:100])
        samples = write_samples(tmp_path / "samples.npy", 2)
        with pytest.raises(MeasureError):
            board.measure(engine, variant=variant, target=target, protocol=protocol)
        with pytest.raises(MeasureError):
            board.infer(engine, samples, target=target, out=tmp_path / "logits.npy")
        assert not (tmp_path / "logits.npy").exists()

    def test_logits_are_those_of_another_runtime_sample_by_sample(self, board, engine, target, tmp_path):
        samples = write_samples(tmp_path / "samples.npy", 7)
        board.infer(engine, samples, target=target, out=tmp_path / "logits.npy")
        logits = np.load(tmp_path / "logits.npy")
        assert logits.dtype == np.float32
        assert logits.shape == (7, CLASSES)
        expected = logits_by_onnxruntime((tmp_path / "graph.onnx").read_bytes(), np.load(samples))
        np.testing.assert_allclose(logits, expected, atol=1e-4)

    def test_samples_of_another_shape_are_a_measure_error(self, board, engine, target, tmp_path):
        samples = write_samples(tmp_path / "samples.npy", 2, shape=(1, 9, 9))
        with pytest.raises(MeasureError):
            board.infer(engine, samples, target=target, out=tmp_path / "logits.npy")
        assert not (tmp_path / "logits.npy").exists()
