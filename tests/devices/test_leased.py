"""Builds on a board take their turn with those who measure there."""

from contextlib import contextmanager

import pytest
from fakes.backend import FAKE_TARGET, FAKE_VARIANTS, FakeBuilder
from fakes.graphs import write_graph

from autokd_edge.devices.board import Place
from autokd_edge.devices.leased import LeasedBuilder, building_in_turn
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import BuildError, MeasureError


class FakeLease:
    """Writes down what it is held for; refuses where somebody holds it already."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.others = False

    @contextmanager
    def hold(self, purpose):
        if self.others:
            raise MeasureError("somebody else measures", hint="wait", retryable=True)
        self.held.append(f"begin {purpose}")
        yield
        self.held.append(f"end {purpose}")


class FakeFarLink(LocalLink):
    device = "ssh://far"


def place(link, lease, tmp_path):
    return Place(link=link, lease=lease, folder=tmp_path)


def test_only_a_compiler_that_runs_on_a_board_waits_for_its_turn(tmp_path):
    builder = FakeBuilder()
    assert building_in_turn(builder, place(LocalLink(), FakeLease(), tmp_path)) is builder
    there = building_in_turn(builder, place(FakeFarLink(), FakeLease(), tmp_path))
    assert isinstance(there, LeasedBuilder)
    assert there.toolchain() == builder.toolchain()


def test_a_board_is_held_while_an_engine_is_built_there(tmp_path):
    lease, graph = FakeLease(), write_graph(tmp_path / "graph.onnx")
    LeasedBuilder(builder=FakeBuilder(), lease=lease).build(graph, variant=FAKE_VARIANTS[0], target=FAKE_TARGET, out=tmp_path / "engine")
    assert (lease.held, (tmp_path / "engine").exists()) == (["begin building an engine", "end building an engine"], True)


def test_a_board_that_stays_taken_is_a_build_that_may_succeed_later(tmp_path):
    lease, graph = FakeLease(), write_graph(tmp_path / "graph.onnx")
    lease.others = True
    with pytest.raises(BuildError, match="somebody else measures") as caught:
        LeasedBuilder(builder=FakeBuilder(), lease=lease).build(
            graph, variant=FAKE_VARIANTS[0], target=FAKE_TARGET, out=tmp_path / "engine"
        )
    assert (caught.value.retryable, caught.value.hint, (tmp_path / "engine").exists()) == (True, "wait", False)
