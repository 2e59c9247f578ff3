"""A study with several workers: its journal, its choices again, and what a kill leaves."""

import dataclasses
import threading
import time

import pytest
from pipeline.world import FakeDistiller, FakeJournal, Killed, World, config

from autokd_edge.core.events import Begun, GradeEngine, Stop, Taught, Wait
from autokd_edge.core.pupil import Failed, Lesson
from autokd_edge.core.study import fold
from autokd_edge.errors import StoreError, TeachError
from autokd_edge.search.verdicts import best_grade

PATIENCE_S = 20.0
FOUR = dataclasses.replace(config(teachings=6), workers=4)


class SlowDistiller(FakeDistiller):
    """Takes a while, each pupil another one, and counts who is taught at the same time.

    The first wait until ``together`` are, as they are on a machine without other work.
    """

    def __init__(self, *, slow_s: float = 0.02, together: int = 1) -> None:
        super().__init__()
        self._slow_s = slow_s
        self._together = together
        self._lock = threading.Condition()
        self._now = 0
        self.most_at_once = 0

    def teach(self, spec, distillation, *, steps, seed, out, until=None):
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self._lock.notify_all()
            self._lock.wait_for(lambda: self.most_at_once >= self._together, timeout=PATIENCE_S)
        time.sleep(self._slow_s * (1 + distillation.number("tau") / 10))
        with self._lock:
            self._now -= 1
            return super().teach(spec, distillation, steps=steps, seed=seed, out=out, until=until)


class Recorded:
    """A policy, and what it said at each number of events."""

    def __init__(self, policy, journal: FakeJournal) -> None:
        self._policy = policy
        self._journal = journal
        self.choices = {}

    def next(self, study):
        action = self.choices[len(self._journal.events)] = self._policy.next(study)
        return action


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A study of four workers: its world, its events and the choices of its policy."""
    world, journal = World(folder=tmp_path_factory.mktemp("four"), distiller=SlowDistiller(together=4)), FakeJournal()
    policy = Recorded(world.policy(), journal)
    dataclasses.replace(world.loop(journal), policy=policy).run(FOUR)
    return world, journal.events, policy.choices


def teachings(events):
    names = ("pupil", "steps", "final", "goal", "of_steps")
    begun, taught = ([tuple(getattr(e, n) for n in names) for e in events if isinstance(e, kind)] for kind in (Begun, Taught))
    return begun, taught


def test_pupils_are_taught_at_the_same_time_and_each_teaching_is_begun_and_ended_in_the_journal(four):
    world, events, _ = four
    begun, taught = teachings(events)
    assert world.distiller.most_at_once == 4
    assert len(set(begun)) == len(begun) == len(taught) == 8
    assert set(begun) == set(taught)
    assert best_grade(fold(events)) is not None


def test_a_policy_that_reads_the_journal_again_makes_every_choice_again(four):
    world, events, choices = four
    policy = world.policy()
    assert {count: policy.next(fold(events[:count])) for count in choices} == choices
    assert Wait() in choices.values()


def test_final_readings_are_taken_while_nobody_is_taught(four):
    _, events, choices = four
    graded = [count for count, action in choices.items() if isinstance(action, GradeEngine)]
    assert graded
    assert not any(fold(events[:count]).running for count in graded)


@pytest.mark.parametrize("after", [False, True], ids=["before it was written", "after it was written"])
@pytest.mark.parametrize("event", [7, 10, 17, 22])
def test_a_study_killed_at_any_event_ends_what_was_begun_and_begins_nothing_twice(tmp_path, event, after):
    journal = FakeJournal(dies_at=event, after=after)
    with pytest.raises(Killed):
        World(folder=tmp_path, distiller=SlowDistiller()).loop(journal).run(FOUR)
    before = list(journal.events)
    time.sleep(0.1)  # the threads of the dead: a process would have taken its workers with it
    rest, world = FakeJournal(list(before)), World(folder=tmp_path, distiller=SlowDistiller())
    study, stop = world.loop(rest).run(FOUR)
    begun, taught = teachings(rest.events)
    assert rest.events[: len(before)] == before
    assert len(set(begun)) == len(begun)
    assert sorted(map(repr, begun)) == sorted(map(repr, taught))
    assert not study.running
    assert isinstance(stop, Stop)
    assert best_grade(study) is not None


def test_a_teaching_that_failed_is_an_outcome_and_its_worker_goes_on(tmp_path):
    class Failing(SlowDistiller):
        def teach(self, spec, distillation, *, steps, seed, out, until=None):
            if steps < 30 and distillation.number("tau") > 5:
                raise TeachError("a worker must live until its pupil is taught; 3 died over it", retryable=True)
            return super().teach(spec, distillation, steps=steps, seed=seed, out=out, until=until)

    study, _ = World(folder=tmp_path, distiller=Failing()).loop(FakeJournal()).run(FOUR)
    kinds = {type(taught.outcome) for taught in study.teachings}
    assert kinds == {Failed, Lesson}
    assert all(taught.outcome.retryable for taught in study.teachings if isinstance(taught.outcome, Failed))


def test_an_error_that_is_no_pupils_fault_ends_the_run(tmp_path):
    class Full(SlowDistiller):
        def teach(self, spec, distillation, *, steps, seed, out, until=None):  # noqa: ARG002  the port's signature
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="disk is full"):
        World(folder=tmp_path, distiller=Full()).loop(FakeJournal()).run(FOUR)


def test_one_worker_begins_nothing_in_the_journal(tmp_path):
    journal = FakeJournal()
    World(folder=tmp_path).loop(journal).run(config())
    assert not any(isinstance(event, Begun) for event in journal.events)
