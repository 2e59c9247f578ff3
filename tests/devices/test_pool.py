"""Pools of boards without boards: who measures, who is put aside, and why."""

import threading
from dataclasses import replace

import pytest
from fakes.backend import FAKE_FINGERPRINT, FAKE_PROTOCOL, FAKE_TARGET, FAKE_VARIANTS
from fakes.graphs import write_graph
from fakes.pool import PacedBoard, pool_of

from autokd_edge.devices.pooled import PooledTuner
from autokd_edge.errors import NoBoardLeftError

ONE, TWO, THREE = (f"ssh://pi@board-{number}" for number in (1, 2, 3))
FP32 = FAKE_VARIANTS[0]


@pytest.fixture
def graph(tmp_path):
    return write_graph(tmp_path / "model.onnx") or tmp_path / "model.onnx"


def measured(backends, graph, tmp_path):
    engine = tmp_path / f"{threading.get_ident()}.blob"
    backend = backends["fake"]
    backend.builder.build(graph, variant=FP32, target=FAKE_TARGET, out=engine)
    return backend.board.measure(engine, variant=FP32, target=FAKE_TARGET, protocol=FAKE_PROTOCOL)


def gone(pool):
    return {departure.device: departure.reason for departure in pool.news()}


def test_a_reading_names_the_board_that_gave_it(graph, tmp_path):
    pool, backends = pool_of(PacedBoard(ONE), PacedBoard(TWO))
    with pool.kept():
        first = measured(backends, graph, tmp_path).device
        again = measured(backends, graph, tmp_path).device
    assert first == again == ONE
    assert gone(pool) == {}


def test_two_threads_measure_at_two_boards_and_each_keeps_to_its_own(graph, tmp_path):
    pool, backends = pool_of(PacedBoard(ONE), PacedBoard(TWO))
    both, found = threading.Barrier(2, timeout=20), {}

    def work(name):
        with pool.kept():
            first = measured(backends, graph, tmp_path)
            both.wait()
            found[name] = {first.device, measured(backends, graph, tmp_path).device}
            both.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(map(sorted, found.values())) == [[ONE], [TWO]]


def test_a_lost_board_is_put_aside_and_its_work_is_done_by_another(graph, tmp_path):
    pool, backends = pool_of(PacedBoard(ONE, lost_after=2), PacedBoard(TWO))
    devices = [measured(backends, graph, tmp_path).device for _ in range(3)]
    assert devices == [ONE, TWO, TWO]
    assert gone(pool) == {ONE: f"the connection to '{ONE}' broke"}
    assert gone(pool) == {}  # it is told once


def test_where_all_boards_are_lost_the_failure_names_each_and_why(graph, tmp_path):
    _, backends = pool_of(PacedBoard(ONE, lost_after=1), PacedBoard(TWO, lost_after=2))
    assert measured(backends, graph, tmp_path).device == TWO
    with pytest.raises(
        NoBoardLeftError, match=f"all 2 were put aside: '{ONE}': the connection .* broke; '{TWO}': .* Hint: see that it runs"
    ):
        measured(backends, graph, tmp_path)


def test_a_board_that_drifts_by_a_tenth_is_put_aside_and_its_reading_is_taken_elsewhere(graph, tmp_path):
    pool, backends = pool_of(PacedBoard(ONE, paces=[1.0, 1.0, 1.1]), PacedBoard(TWO))
    devices = [measured(backends, graph, tmp_path).device for _ in range(3)]
    assert devices == [ONE, TWO, TWO]
    reason = "its sentinel must run within 6% of the pool's, 50.0 µs; it takes 55.0 µs, 10.0% slower, 3 times in a row"
    assert gone(pool) == {ONE: reason}


def test_a_passing_disturbance_costs_a_reading_and_no_board(graph, tmp_path):
    board = PacedBoard(ONE, paces=[1.0, 1.3, 1.2, 1.0])
    pool, backends = pool_of(board, PacedBoard(TWO))
    assert measured(backends, graph, tmp_path).device == ONE
    assert (board.measured, gone(pool)) == (4, {})


def test_of_three_boards_the_one_that_is_faster_than_both_others_is_the_odd_one(graph, tmp_path):
    pool, backends = pool_of(PacedBoard(ONE, paces=[0.9]), PacedBoard(TWO), PacedBoard(THREE))
    assert measured(backends, graph, tmp_path).device == TWO
    assert list(gone(pool)) == [ONE]


def test_the_last_board_has_nobody_to_be_compared_with(graph, tmp_path):
    pool, backends = pool_of(PacedBoard(ONE, lost_after=0), PacedBoard(TWO, paces=[1.0, 1.5]))
    assert measured(backends, graph, tmp_path).device == TWO
    assert list(gone(pool)) == [ONE]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"processor": "Cortex-A53"}, "processor is Cortex-A53, the pool's fake"),
        ({"memory_bytes": 4 * 2**30}, "memory is 4 GiB, the pool's 8 GiB"),
        ({"governor": "powersave"}, "governor is powersave, the pool's performance"),
    ],
)
def test_a_board_that_says_something_else_of_itself_is_put_aside(other, said):
    pool, _ = pool_of(PacedBoard(ONE), PacedBoard(TWO, fingerprint=replace(FAKE_FINGERPRINT, **other)))
    assert pool.fingerprint() == FAKE_FINGERPRINT
    assert gone(pool) == {TWO: f"the boards of a pool must be alike; {said}"}


def test_most_boards_decide_which_one_is_the_odd_one():
    odd = replace(FAKE_FINGERPRINT, processor="Cortex-A53")
    pool, _ = pool_of(PacedBoard(ONE, fingerprint=odd), PacedBoard(TWO), PacedBoard(THREE))
    assert pool.fingerprint() == FAKE_FINGERPRINT
    assert list(gone(pool)) == [ONE]


def test_a_board_with_another_runtime_is_put_aside():
    pool, backends = pool_of(PacedBoard(ONE), PacedBoard(TWO, toolchain={"fake": "2.0"}))
    assert backends["fake"].builder.toolchain() == {"fake": "1.0"}
    assert gone(pool) == {TWO: "the boards of a pool must be alike; fake is 2.0, the pool's 1.0"}


def test_a_board_that_nobody_reaches_is_put_aside_and_where_there_is_no_other_that_is_the_end():
    pool, _ = pool_of(PacedBoard(ONE, reachable=False), PacedBoard(TWO))
    assert pool.fingerprint() == FAKE_FINGERPRINT
    assert gone(pool) == {ONE: f"'{ONE}' must answer and run commands; nobody there"}
    nobody, _ = pool_of(PacedBoard(ONE, reachable=False), PacedBoard(TWO, reachable=False))
    with pytest.raises(NoBoardLeftError, match="a pool must keep a board; all 2 were put aside"):
        nobody.fingerprint()


def test_tuning_is_done_at_one_board_of_a_pool(graph, tmp_path):
    class Tuner:
        def __init__(self, name):
            self.name = name

        def tune(self, graph, *, variant, target, most, out):  # noqa: ARG002  the port's signature
            return self.name, most

    pool, _ = pool_of(PacedBoard(ONE), PacedBoard(TWO))
    joined = []
    tuner = PooledTuner([Tuner(ONE), Tuner(TWO)], pool, lambda: joined.append(True))
    assert tuner.tune(graph, variant=FP32, target=FAKE_TARGET, most=3, out=tmp_path / "out.onnx") in {(ONE, 3), (TWO, 3)}
    assert joined == [True]
