import dataclasses

import pytest
from search.fake_world import NONE, FakeWorld, config, measurement
from search.test_verdicts import graded

from autokd_edge.core.front import Candidate, costs_of, front_of, non_dominated
from autokd_edge.core.goal import Goal
from autokd_edge.core.limits import LatencyLimit, Limits
from autokd_edge.core.measure import Memory

FREE = Limits(latency=None, memory=None, max_drop=None)


def a_goal(*pareto, limits=FREE):
    return Goal(target="fake", target_digest=NONE, limits=limits, pareto=pareto)


def candidates(*points):
    return [Candidate(what=number, accuracy=accuracy, costs=tuple(costs)) for number, (accuracy, *costs) in enumerate(points)]


def kept(*points):
    return [candidate.what for candidate in non_dominated(candidates(*points))]


def test_what_another_beats_in_accuracy_and_cost_is_not_on_the_front_and_the_cheapest_comes_first():
    assert kept((90, 3.0), (91, 2.0), (80, 1.0), (79, 1.5)) == [2, 1]


def test_with_two_costs_what_is_better_in_one_of_them_is_on_the_front():
    assert kept((90, 1.0, 5.0), (90, 2.0, 3.0), (90, 3.0, 4.0), (89, 1.0, 5.0)) == [0, 1]


def test_of_accuracies_that_cannot_be_told_apart_the_cheaper_one_is_kept_also_along_a_chain():
    assert kept((90.0, 1.0), (90.09, 2.0), (90.18, 3.0)) == [0, 2]


def test_equals_are_on_the_front_once():
    assert kept((90.0, 1.0), (90.0, 1.0)) == [0]


def test_costs_are_the_bound_that_the_limit_goes_by_and_the_peak_memory():
    reading = dataclasses.replace(measurement(1000), blocks_ns=(tuple(range(901, 1001)), tuple(range(1001, 1101))))
    assert costs_of(a_goal("latency"), reading) == (reading.upper_bound_ns(50.0),)
    assert 1000 < reading.upper_bound_ns(50.0) < 1030
    within = Limits(latency=LatencyLimit(percent=90.0, bound_ns=1, times_teacher=None), memory=None, max_drop=None)
    assert costs_of(a_goal("latency", "memory", limits=within), reading) == (reading.upper_bound_ns(90.0), 1_000_000)
    nothing = dataclasses.replace(reading, memory=Memory(peak_rss_bytes=1, null_rss_bytes=2))
    assert costs_of(a_goal("latency", "memory"), nothing)[1] == 1  # a logarithm is taken of it
    assert costs_of(a_goal(), reading) == ()


def a_world(**limits):
    world, opened = FakeWorld(), config(**limits)
    world.open(dataclasses.replace(opened, goals=(dataclasses.replace(opened.goals[0], pareto=("latency",)),)))
    return world


def test_the_front_of_a_study_has_only_engines_that_keep_all_limits():
    world = a_world(latency_x=0.5, max_drop=2.0)  # the teacher has 94 %
    said = ((94.0, 0.6), (93.0, 0.4), (92.9, 0.45), (92.1, 0.2), (91.0, 0.1))  # too slow, good, worse than that, fast, too poor
    events = [graded(world, number, accuracy=accuracy, latency_x=share) for number, (accuracy, share) in enumerate(said)]
    assert front_of(world.study) == (events[3], events[1])


def test_a_study_without_a_front_has_none():
    world = FakeWorld()
    world.open(config(latency_x=None))
    graded(world, 1, accuracy=94.0, latency_x=0.6)
    assert front_of(world.study) == ()


@pytest.mark.parametrize("pareto", [("memory",), ("memory", "latency"), ("latency", "latency")])
def test_fronts_against_something_else_are_refused(pareto):
    with pytest.raises(ValueError, match="accuracy against latency, or against latency and memory; got"):
        a_goal(*pareto)


def test_a_front_of_several_targets_rungs_or_workers_is_refused():
    two = config(others_x=(0.5,))
    with pytest.raises(ValueError, match="for one target, on one rung and by one worker; got fake, fake-1, 1 rungs"):
        dataclasses.replace(two, goals=tuple(dataclasses.replace(goal, pareto=("latency",)) for goal in two.goals))
    with pytest.raises(ValueError, match="got fake, 2 rungs and 1 workers"):
        dataclasses.replace(a_world().study.config, rungs=2)
    with pytest.raises(ValueError, match="got fake, 1 rungs and 2 workers"):
        dataclasses.replace(a_world().study.config, workers=2)
