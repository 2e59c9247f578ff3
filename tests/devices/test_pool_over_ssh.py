"""A pool of two boards behind two real sshds: their paces are files there."""

from dataclasses import replace

import pytest
from devices.conftest import link_to
from fakes.backend import FAKE_FINGERPRINT, FAKE_PROTOCOL, FAKE_TARGET, FAKE_VARIANTS, FakeBoard, FakeBuilder, FakeQuantizer
from fakes.graphs import write_graph
from fakes.sshd import LoopbackBoard

from autokd_edge.core.measure import Sentinel
from autokd_edge.devices.device import Device
from autokd_edge.devices.pool import BoardPool
from autokd_edge.devices.pooled import pooled
from autokd_edge.errors import NoBoardLeftError
from autokd_edge.ports import Backend

FP32 = FAKE_VARIANTS[0]


class PacedOverSsh(FakeBoard):
    """Its sentinel takes what a file on the board says."""

    def __init__(self, link, board):
        super().__init__()
        self._link, self._pace = link, str(board.folder / "pace")

    def measure(self, engine, *, variant, target, protocol):
        self._link.push(engine)
        level = int(self._link.run(["cat", self._pace], stdin=b"", timeout_s=20).stdout)
        reading = super().measure(engine, variant=variant, target=target, protocol=protocol)
        return replace(reading, sentinel=Sentinel(before_ns=level, after_ns=level))


class Two:
    """Two boards, the pool of them and a network to measure."""

    def __init__(self, folder, boards):
        self.boards = boards
        links = [link_to(board, patience_s=(0.05,)) for board in boards]
        self.pool = BoardPool([Device(link=link, lease=None, fingerprint=lambda: FAKE_FINGERPRINT) for link in links])
        each = []
        for board, link in zip(boards, links, strict=True):
            (board.folder / "pace").write_text("50000\n")
            backend = Backend(name="fake", builder=FakeBuilder(), quantizer=FakeQuantizer(), board=PacedOverSsh(link, board))
            each.append({"fake": backend})
        self.board = pooled(each, self.pool, FAKE_TARGET, FAKE_PROTOCOL)["fake"].board
        write_graph(folder / "model.onnx")
        self.engine = folder / "model.blob"
        FakeBuilder().build(folder / "model.onnx", variant=FP32, target=FAKE_TARGET, out=self.engine)

    def measured_at(self):
        return self.board.measure(self.engine, variant=FP32, target=FAKE_TARGET, protocol=FAKE_PROTOCOL).device


@pytest.fixture
def two(tmp_path):
    with LoopbackBoard(tmp_path / "one") as one, LoopbackBoard(tmp_path / "two") as other:
        yield Two(tmp_path, (one, other))


def test_one_lost_midway_is_put_aside_and_both_lost_are_a_failure_of_the_device(two):
    one, other = two.boards
    assert two.measured_at() == one.device
    one.stop()
    assert two.measured_at() == other.device
    (lost,) = two.pool.news()
    assert lost.device == one.device
    assert f"the connection to '{one.device}' broke and did not come back in 1 tries" in lost.reason
    other.stop()
    with pytest.raises(NoBoardLeftError, match="all 2 were put aside"):
        two.measured_at()


def test_one_that_drifts_is_put_aside(two):
    one, other = two.boards
    assert two.measured_at() == one.device
    (one.folder / "pace").write_text("55000\n")
    assert two.measured_at() == other.device
    (drifted,) = two.pool.news()
    assert (drifted.device, "10.0% slower, 3 times in a row" in drifted.reason) == (one.device, True)
