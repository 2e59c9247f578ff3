"""Policies of several workers: the board is probed while pupils are taught, and the journal alone decides."""

from dataclasses import replace

import pytest
from search.fake_workers import FakeWorkers, chosen_again
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, FakeWorld, config

from autokd_edge.core.events import Begun, GradeEngine, Probe, Probed, Taught, Wait
from autokd_edge.core.limits import Budget
from autokd_edge.core.rungs import spent
from autokd_edge.core.study import fold
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.evolution import EvolutionChooser
from autokd_edge.search.finals import began_s, begun
from autokd_edge.search.goals import GoalsInTurn
from autokd_edge.search.history import running, tried
from autokd_edge.search.ladder import paused
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.verdicts import best_grade

SPACES = (ARCHITECTURES, DISTILLATIONS)
PLAN = Plan(pool=16)
EIGHT = Budget(seconds=None, teachings=8)


def a_policy(chooser=RandomChooser, goals=1):
    return GoalsInTurn([PhasedPolicy(chooser(*SPACES), (FP32, INT8), PLAN) for _ in range(goals)], PLAN)


def ran(policy, *, workers=4, budget=EIGHT, others_x=(), **changes):
    world = FakeWorkers(**changes.pop("world", {}))
    wanted = config(latency_x=0.6, others_x=others_x, budget=budget, **({"final_members": 2} | changes))
    world.open(replace(wanted, workers=workers))
    _, stop = world.run(policy)
    return world, stop


@pytest.fixture(scope="module")
def whole():
    return ran(a_policy())


def most_at_once(world):
    return max(len(fold(world.events[:count]).running) for count in world.choices)


def test_four_workers_teach_at_the_same_time_while_the_board_is_probed(whole):
    world, _ = whole
    assert most_at_once(world) == 4
    beside = [event for i, event in enumerate(world.events) if isinstance(event, Probed) and fold(world.events[:i]).running]
    assert len(beside) > 8
    assert best_grade(world.study) is not None


def test_every_teaching_was_begun_once_and_ended_once(whole):
    events = whole[0].events
    facts = [tuple(getattr(e, name) for name in ("pupil", "steps", "final", "goal", "of_steps")) for e in events if isinstance(e, Begun)]
    ended = [tuple(getattr(e, name) for name in ("pupil", "steps", "final", "goal", "of_steps")) for e in events if isinstance(e, Taught)]
    assert sorted(map(repr, facts)) == sorted(map(repr, ended))
    assert len(set(facts)) == len(facts)
    assert not fold(events).running


def test_a_batch_of_probes_follows_each_teaching_that_was_begun(whole):
    events = whole[0].events
    first = next(i for i, event in enumerate(events) if isinstance(event, Begun))
    begun_count = sum(isinstance(event, Begun) and not event.final for event in events)
    probed = [event for event in events[first:] if isinstance(event, Probed) and event.member.index == 0]
    assert 0 < len(probed) <= PLAN.batch * begun_count


def test_a_budget_in_teachings_counts_those_that_run(whole):
    study = whole[0].study
    assert spent(study) == 8


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize(
    ("chooser", "rungs", "others_x"),
    [(RandomChooser, 1, ()), (EvolutionChooser, 1, ()), (RandomChooser, 3, ()), (RandomChooser, 1, (0.6,))],
    ids=["random", "evolution", "on rungs", "two targets"],
)
def test_a_recorded_journal_gives_equal_choices_at_every_prefix(chooser, rungs, others_x, workers):
    goals = 1 + len(others_x)
    world, stop = ran(a_policy(chooser, goals), rungs=rungs, others_x=others_x, workers=workers)
    assert chosen_again(world, a_policy(chooser, goals)) == world.choices
    assert a_policy(chooser, goals).next(world.study) == stop


def test_the_default_strategy_gives_equal_choices_at_every_prefix_of_a_journal_of_four_workers():
    world, _ = ran(a_policy(EdgeBO))
    assert most_at_once(world) == 4
    assert chosen_again(world, a_policy(EdgeBO)) == world.choices


def test_between_two_choices_the_policy_would_go_on_with_the_batch_that_it_began(whole):
    world, policy = whole[0], a_policy()
    unasked = [count for count in range(2, len(world.events)) if count not in world.choices and isinstance(world.events[count], Probed)]
    assert len(unasked) > 10
    for count in unasked:
        action = policy.next(fold(world.events[:count]))
        assert isinstance(action, Probe)
        assert action.members[0] == world.events[count].member


def test_a_study_cut_at_any_event_goes_on_to_the_same_end(whole):
    events, stop = whole[0].events, whole[1]
    for cut in range(2, len(events), 5):
        rest = FakeWorkers(events=list(events[:cut]))
        _, again = rest.run(a_policy())
        assert rest.events == events
        assert again == stop


def test_no_pupil_is_taught_twice_and_who_runs_counts_as_tried(whole):
    world = whole[0]
    searched = [event.pupil for event in world.events if isinstance(event, Begun) and not event.final]
    assert len(set(searched)) == len(searched)
    middle = next(fold(world.events[:n]) for n in world.choices if len(fold(world.events[:n]).running) == 3)
    assert set(running(middle)) <= tried(middle)
    assert len(running(middle)) == 3


def test_a_pupil_that_is_taught_on_has_not_paused():
    world, _ = ran(a_policy(), rungs=3)
    seen = 0
    for count in world.choices:
        study = fold(world.events[:count])
        assert not {one.pupil for one in paused(study)} & set(running(study))
        seen += bool(running(study))
    assert seen > 4
    assert {(e.steps, e.of_steps) for e in world.events if isinstance(e, Begun) and not e.final} == {(11, 100), (33, 100), (100, None)}


def test_finalists_are_taught_beside_each_other_and_read_when_nobody_teaches(whole):
    world = whole[0]
    finals = [event for event in world.events if isinstance(event, Begun) and event.final]
    assert len(finals) == 2
    assert {final.steps for final in finals} == {400}
    both = [count for count in world.choices if sum(run.final for run in fold(world.events[:count]).running) == 2]
    assert both
    assert all(not fold(world.events[:count]).running for count, action in world.choices.items() if isinstance(action, GradeEngine))
    first = world.events.index(finals[0])
    assert began_s(world.study) <= finals[0].at_s
    assert begun(fold(world.events[: first + 1]))


def test_a_time_budget_is_kept_and_two_members_get_what_one_got():
    budget = Budget(seconds=480.0, teachings=None)
    world, _ = ran(a_policy(), workers=2, budget=budget, world={"uneven": 0.0}, final_members=8)
    finals = [event for event in world.events if isinstance(event, Begun) and event.final]
    assert len(finals) == 2
    assert finals[0].steps == finals[1].steps > 300
    assert 0.8 * 480 < max(e.at_s for e in world.events if isinstance(e, Taught)) <= 0.88 * 480 + 1
    assert world.study.elapsed_s <= 480
    alone = FakeWorld()
    alone.open(config(latency_x=0.6, budget=budget))
    alone.run(a_policy())
    assert len(world.study.teachings) > 1.5 * len(alone.study.teachings)


def test_a_teaching_that_fails_frees_its_worker():
    world, stop = ran(a_policy(), world={"broken_teaching": True})
    assert "no candidate could be taught" in stop.reason
    assert not world.study.running


def test_with_one_worker_nothing_is_begun_and_nothing_waited_for():
    alone = FakeWorld()
    alone.open(config(latency_x=0.6, budget=EIGHT, final_members=2))
    alone.run(a_policy())
    assert not any(isinstance(event, Begun) for event in alone.events)
    assert not any(isinstance(a_policy().next(fold(alone.events[:n])), Wait) for n in range(2, len(alone.events), 7))
