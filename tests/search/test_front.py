import dataclasses

import numpy as np
import pytest
from search.fake_world import TEACHER_NS, FakeWorld, config
from search.test_verdicts import a_pupil, probed

from autokd_edge.core.events import Taught
from autokd_edge.core.front import non_dominated
from autokd_edge.core.pupil import Lesson
from autokd_edge.search.compression import compressed
from autokd_edge.search.front import in_order, log_costs, pupils_of, reference_of


def a_world(*students, pareto=("latency",), latency_x=None, **limits):
    """Begin a study whose students, (accuracy, latency as a share of the teacher's, bytes), were probed and taught."""
    world, opened = FakeWorld(), config(latency_x=latency_x, **limits)
    world.open(dataclasses.replace(opened, goals=(dataclasses.replace(opened.goals[0], pareto=pareto),)))
    for number, (accuracy, share, *size) in enumerate(students):
        probed(world, number, share, *size)
        lesson = Lesson(accuracy=accuracy, loss=1.0, checkpoint=None, seconds=1.0)
        world.events.append(Taught(pupil=a_pupil(number), steps=100, final=False, outcome=lesson, at_s=world.events[-1].at_s + 1))
    return world.study


def reference(study):
    candidates = pupils_of(study)
    accuracies = np.array([candidate.accuracy for candidate in candidates])
    return reference_of(study, non_dominated(candidates), accuracies), accuracies


FIVE = ((90.0, 0.4), (80.0, 0.1), (85.0, 0.2), (84.0, 0.3), (88.0, 0.25))


def test_the_costs_are_of_pupils_that_keep_the_limits():
    study = a_world(*FIVE, latency_x=0.3)
    assert [one.accuracy for one in pupils_of(study)] == [80.0, 85.0, 84.0, 88.0]
    assert np.exp(log_costs(pupils_of(study)))[0, 0] == pytest.approx(0.1 * TEACHER_NS, rel=0.01)


@pytest.mark.parametrize(("latency_x", "worst"), [(0.5, 0.5), (None, 1.0)])
def test_the_reference_is_beyond_the_limit_and_without_one_beyond_the_teacher(latency_x, worst):
    found, _ = reference(a_world(*FIVE, latency_x=latency_x))
    range_ = np.log(worst / 0.1)
    assert np.exp(found.worst[0]) / TEACHER_NS == pytest.approx(worst * np.exp(0.1 * range_), rel=0.02)


def test_the_floor_is_a_tenth_of_the_fronts_range_below_its_least_accurate_pupil():
    found, accuracies = reference(a_world(*FIVE))
    low, high = compressed(np.array([80.0, 90.0]), among=accuracies)
    assert found.floor == pytest.approx(low - 0.1 * (high - low))


def test_a_pupil_that_is_fast_because_it_learns_nothing_does_not_stretch_the_front():
    (found, accuracies), (without, _) = reference(a_world(*FIVE, (10.0, 0.001))), reference(a_world(*FIVE))
    low, high = compressed(np.array([80.0, 90.0]), among=accuracies)
    assert found.floor == pytest.approx(low - 0.1 * (high - low))
    assert found.worst == pytest.approx(without.worst)
    assert compressed(np.array([10.0]), among=accuracies)[0] < found.floor


def test_memory_is_a_cost_of_its_own():
    study = a_world((90.0, 0.4, 3000), (90.0, 0.5, 1000), (89.0, 0.5, 2000), pareto=("latency", "memory"), memory_bytes=4000)
    assert [pupil.member.architecture for pupil in in_order(study)] != []
    assert len(in_order(study)) == 2
    assert reference(study)[0].worst[1] > np.log(4000)


def test_the_order_has_the_front_alone_and_its_largest_part_first():
    study = a_world(*FIVE)
    order = in_order(study)
    assert {study.teachings.index(next(t for t in study.teachings if t.pupil == pupil)) for pupil in order} == {0, 1, 2, 4}
    assert order[0] != a_pupil(1)


def test_before_the_first_lesson_there_is_no_front():
    assert in_order(a_world()) == ()
