import dataclasses

import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, FakeWorld, config

from autokd_edge.core.events import GradeEngine, Probe, Teach
from autokd_edge.core.front import front_of
from autokd_edge.core.limits import Budget
from autokd_edge.search.finals import begun
from autokd_edge.search.front import in_order
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.verdicts import best_grade, to_ship


def a_policy(variants=(FP32, INT8)):
    return PhasedPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), variants)


def a_world(*, seconds=None, teachings=None, pareto=("latency",), latency_x=None, final_steps=None, seed=0, limits=None, **world):
    fake, budget = FakeWorld(**world), Budget(seconds=seconds, teachings=teachings)
    opened = config(budget=budget, latency_x=latency_x, final_steps=final_steps, seed=seed, **(limits or {}))
    fake.open(dataclasses.replace(opened, goals=(dataclasses.replace(opened.goals[0], pareto=pareto),)))
    return fake


def finals(world):
    return [taught for taught in world.study.teachings if taught.final]


@pytest.mark.parametrize("pareto", [("latency",), ("latency", "memory")])
def test_the_pupils_on_the_front_five_at_most_are_taught_in_full_as_they_were_found_and_graded_in_every_variant(pareto):
    world = a_world(teachings=16, pareto=pareto)
    policy = a_policy()
    while not begun(world.study) and not (isinstance(action := policy.next(world.study), Teach) and action.final):
        world.do(action)
    front = in_order(world.study)
    actions, stop = world.run(policy)
    assert [taught.pupil for taught in finals(world)] == list(front[:5])
    assert {taught.steps for taught in finals(world)} == {400}
    assert not any(isinstance(action, Probe) for action in actions)
    graded = [(action.pupil, action.variant) for action in actions if isinstance(action, GradeEngine)]
    assert graded == [(pupil, variant) for pupil in front[:5] for variant in (FP32, INT8)]
    assert f"of {len(graded)} engines graded, {len(front_of(world.study))} are on the front" in stop.reason


def test_what_is_shipped_is_the_front_of_the_engines_and_its_most_accurate_one_is_the_best():
    world = a_world(teachings=16)
    world.run(a_policy())
    front = to_ship(world.study)
    assert front == front_of(world.study)
    assert len(front) > 1
    assert best_grade(world.study) == max(front, key=lambda graded: graded.outcome.accuracy)
    accuracies = [graded.outcome.accuracy for graded in front]
    medians = [graded.outcome.measurement.median_ns for graded in front]
    assert (accuracies, medians) == (sorted(accuracies), sorted(medians))


def test_a_time_budget_is_shared_by_as_many_as_get_twice_the_searchs_steps_and_is_kept():
    world = a_world(seconds=600.0)
    world.run(a_policy(variants=(FP32,)))
    done = finals(world)
    assert len(done) >= 2
    assert all(taught.steps >= 100 for taught in done)
    assert 0.9 * 600 < world.study.elapsed_s <= 600


def test_given_final_steps_are_repeated_while_the_time_lasts():
    world = a_world(seconds=600.0, final_steps=300)
    world.run(a_policy(variants=(FP32,)))
    assert {taught.steps for taught in finals(world)} == {300}
    assert len(finals(world)) >= 2


def test_an_engine_that_breaks_a_limit_is_not_on_the_front_and_where_all_do_the_distance_is_said():
    world = a_world(teachings=8, latency_x=0.6, final_latency_factor=50.0)
    _, stop = world.run(a_policy(variants=(FP32,)))
    assert to_ship(world.study) == ()
    assert not finals(world)  # the final protocol refused each of them untaught
    assert "no engine keeps all limits: no other taught candidate is left; " in stop.reason
    assert "refused by the final protocol; the closest candidate" in stop.reason


def test_a_final_teaching_that_fails_does_not_keep_the_others_from_theirs():
    world = a_world(teachings=16)
    policy = a_policy()
    world.broken_teaching = False
    while not (isinstance(action := policy.next(world.study), Teach) and action.final):
        world.do(action)
    world.broken_teaching = True
    world.do(action)
    world.broken_teaching = False
    world.run(policy)
    assert len(finals(world)) > 1
    assert len({taught.pupil for taught in finals(world)}) == len(finals(world))
    assert to_ship(world.study)


def test_a_study_that_was_cut_off_again_and_again_comes_to_the_same_front():
    whole, broken = a_world(seconds=480.0, seed=3), a_world(seconds=480.0, seed=3)
    whole.run(a_policy())
    while len(broken.events) < len(whole.events):
        action = a_policy().next(broken.study)
        broken.do(Probe(members=action.members[:3]) if isinstance(action, Probe) else action)
    assert broken.events == whole.events
    assert front_of(broken.study) == front_of(whole.study) != ()
