"""The fakes of tests keep the same contracts as the real adapters."""

import pytest
from contracts.board import BoardContract
from contracts.builder import BuilderContract
from contracts.quantizer import QuantizerContract
from fakes.backend import FAKE_PROTOCOL, FAKE_TARGET, FakeBuilder, fake_backend
from fakes.graphs import write_graph

from autokd_edge.conformance.fixtures import BackendFixtures
from autokd_edge.errors import BuildError


class _Fake(BackendFixtures):
    @pytest.fixture
    def backend(self):
        return fake_backend()

    @pytest.fixture
    def target(self):
        return FAKE_TARGET


class TestFakeBuilder(_Fake, BuilderContract):
    def test_it_refuses_what_it_is_told_to(self, target, variant, tmp_path):
        with pytest.raises(BuildError, match="refuses"):
            FakeBuilder(refuse_one_in=1).build(write_graph(tmp_path / "g"), variant=variant, target=target, out=tmp_path / "engine")


class TestFakeQuantizer(_Fake, QuantizerContract):
    pass


class TestFakeBoard(_Fake, BoardContract):
    @pytest.fixture
    def protocol(self):
        return FAKE_PROTOCOL

    @pytest.fixture
    def origin(self):
        return "replay"

    def test_a_larger_network_is_slower(self, board, builder, variant, target, protocol, tmp_path):
        readings = []
        for channels in (8, 64):
            engine = tmp_path / str(channels)
            builder.build(write_graph(tmp_path / "g", channels=channels), variant=variant, target=target, out=engine)
            readings.append(board.measure(engine, variant=variant, target=target, protocol=protocol))
        assert readings[0].median_ns < readings[1].median_ns
