"""What every Board keeps; the tests of a backend of your own inherit it and give ``origin``, what its readings call themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autokd_edge.conformance.graphs import CLASSES, logits_by_reference, write_graph, write_samples
from autokd_edge.core.codec import decode, encode
from autokd_edge.core.digest import digest_of_file, digest_of_json
from autokd_edge.core.measure import Measurement, Origin, Protocol
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import MeasureError
from autokd_edge.ports import Board, Builder


class BoardContract:
    """Measures and infers, says what was read and how, and fails with an error of its own."""

    @pytest.fixture
    def engine(self, builder: Builder, variant: Variant, target: Target, tmp_path: Path) -> Path:
        """Build a small engine in fp32."""
        builder.build(write_graph(tmp_path / "graph.onnx"), variant=variant, target=target, out=tmp_path / "engine")
        return tmp_path / "engine"

    @pytest.fixture
    def reading(self, board: Board, engine: Path, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Take a reading of it."""
        return board.measure(engine, variant=variant, target=target, protocol=protocol)

    def test_a_reading_names_what_was_read_and_how(
        self, reading: Measurement, engine: Path, variant: Variant, target: Target, protocol: Protocol, origin: Origin
    ) -> None:
        assert (reading.origin, reading.target, reading.variant) == (origin, target.name, variant)
        assert reading.engine == digest_of_file(engine)
        assert reading.protocol == protocol.name
        assert reading.protocol_digest == digest_of_json(encode(protocol))
        assert reading.threads == target.threads
        assert reading.toolchain
        assert sum(reading.executed.values()) > 0

    def test_a_reading_keeps_every_sample_of_every_block_and_survives_being_written(self, reading: Measurement, protocol: Protocol) -> None:
        assert len(reading.blocks_ns) == protocol.blocks
        assert all(len(block) >= protocol.block_runs for block in reading.blocks_ns)
        assert reading.memory.peak_rss_bytes > reading.memory.null_rss_bytes // 2 > 0
        assert decode(Measurement, encode(reading)) == reading

    def test_a_damaged_engine_is_a_measure_error(
        self, board: Board, engine: Path, variant: Variant, target: Target, protocol: Protocol, tmp_path: Path
    ) -> None:
        engine.write_bytes(engine.read_bytes()[:100])
        samples = write_samples(tmp_path / "samples.npy", 2)
        with pytest.raises(MeasureError):
            board.measure(engine, variant=variant, target=target, protocol=protocol)
        with pytest.raises(MeasureError):
            board.infer(engine, samples, variant=variant, target=target, out=tmp_path / "logits.npy")
        assert not (tmp_path / "logits.npy").exists()

    def test_logits_are_those_of_the_reference_sample_by_sample(
        self, board: Board, engine: Path, variant: Variant, target: Target, tmp_path: Path
    ) -> None:
        samples = write_samples(tmp_path / "samples.npy", 7)
        board.infer(engine, samples, variant=variant, target=target, out=tmp_path / "logits.npy")
        logits = np.load(tmp_path / "logits.npy")
        assert logits.dtype == np.float32
        assert logits.shape == (7, CLASSES)
        expected = logits_by_reference((tmp_path / "graph.onnx").read_bytes(), np.load(samples))
        np.testing.assert_allclose(logits, expected, atol=1e-4)

    def test_samples_of_another_shape_are_a_measure_error(
        self, board: Board, engine: Path, variant: Variant, target: Target, tmp_path: Path
    ) -> None:
        samples = write_samples(tmp_path / "samples.npy", 2, shape=(1, 9, 9))
        with pytest.raises(MeasureError):
            board.infer(engine, samples, variant=variant, target=target, out=tmp_path / "logits.npy")
        assert not (tmp_path / "logits.npy").exists()
