"""A study whose probes are measured at several boards at the same time."""

import time
from dataclasses import replace

import pytest
from fakes.pool import PacedBoard, pool_of
from pipeline.world import FakeJournal, World, config, timeless

from autokd_edge.core.events import Probed, PutAside
from autokd_edge.core.pupil import Screened
from autokd_edge.core.study import fold
from autokd_edge.errors import NoBoardLeftError

ONE, TWO = "ssh://pi@board-1", "ssh://pi@board-2"


def with_pool(folder, *boards):
    world = World(folder=folder)
    pool, backends = pool_of(*boards)
    world.evaluator = replace(world.evaluator, stages=replace(world.stages, backends=backends), pool=pool)
    return world


def readings(events):
    return [m for e in events if isinstance(e, Probed) and isinstance(e.outcome, Screened) for m in e.outcome.measurements]


def members(events):
    return [event.member for event in events if isinstance(event, Probed)]


class SlowBoard(PacedBoard):
    """Takes long enough for the other one to begin."""

    def measure(self, engine, **how):
        time.sleep(0.02)
        return super().measure(engine, **how)


def test_the_journal_is_that_of_one_board_but_for_who_measured(tmp_path):
    alone, both = FakeJournal(), FakeJournal()
    World(folder=tmp_path / "alone").loop(alone).run(config())
    with_pool(tmp_path / "both", SlowBoard(ONE), SlowBoard(TWO)).loop(both).run(config())
    assert members(both.events) == members(alone.events)
    assert [type(event) for event in timeless(both.events)] == [type(event) for event in timeless(alone.events)]
    assert {reading.device for reading in readings(both.events)} == {ONE, TWO}
    for event in both.events:
        if isinstance(event, Probed):
            assert len({reading.device for reading in readings([event])}) == 1


def test_a_lost_board_is_written_down_with_the_reason_and_costs_no_member(tmp_path):
    journal = FakeJournal()
    study, _ = with_pool(tmp_path, PacedBoard(ONE), PacedBoard(TWO, lost_after=1)).loop(journal).run(config())
    assert [(gone.device, gone.reason) for gone in study.put_aside] == [(TWO, f"the connection to '{TWO}' broke")]
    assert all(isinstance(probed.outcome, Screened) for probed in study.probes)
    assert fold(journal.events) == study


def test_where_every_board_is_lost_the_reasons_are_kept_and_the_same_study_goes_on(tmp_path):
    journal = FakeJournal()
    with pytest.raises(NoBoardLeftError):
        with_pool(tmp_path, PacedBoard(ONE, lost_after=5), PacedBoard(TWO, lost_after=4)).loop(journal).run(config())
    assert {event.device for event in journal.events if isinstance(event, PutAside)} == {ONE, TWO}
    done = len(members(journal.events))
    study, stop = with_pool(tmp_path, PacedBoard(ONE), PacedBoard(TWO)).loop(journal).run(config())
    assert "keeps all limits" in stop.reason
    assert 0 < done < len(study.probes)
    assert len(set(members(journal.events))) == len(study.probes)
