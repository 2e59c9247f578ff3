import dataclasses

import numpy as np
import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config
from search.test_front_finals import a_world

from autokd_edge.core.events import Probe
from autokd_edge.core.limits import Budget
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.front import log_costs, pupils_of
from autokd_edge.search.front_bo import FrontBO
from autokd_edge.search.hypervolume import hypervolume
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser

SHORT = Plan(pool=24, batch=4)


def a_policy(kind=FrontBO, plan=SHORT):
    return PhasedPolicy(kind(ARCHITECTURES, DISTILLATIONS), (FP32,), plan)


def volume(study):
    found = pupils_of(study)
    values = np.array([one.accuracy for one in found])
    return hypervolume(values, log_costs(found), floor=80.0, worst=np.log([1_200_000.0]))


@pytest.mark.slow
@pytest.mark.parametrize(("pareto", "teachings"), [(("latency",), 6), pytest.param(("latency", "memory"), 7, marks=pytest.mark.thorough)])
def test_a_search_cut_off_again_and_again_by_new_instances_equals_an_uninterrupted_one(pareto, teachings):
    whole, broken = (a_world(teachings=teachings, latency_x=0.6, pareto=pareto) for _ in range(2))
    whole.run(a_policy())
    while len(broken.events) < len(whole.events):
        action = a_policy().next(broken.study)
        broken.do(Probe(members=action.members[:2]) if isinstance(action, Probe) else action)
    assert broken.events == whole.events
    fits = {probed.member for probed in whole.study.probes if whole.study.fits(probed)}
    assert {taught.pupil.member for taught in whole.study.teachings} <= fits
    assert len({taught.pupil for taught in whole.study.teachings if not taught.final}) == teachings


@pytest.mark.thorough
def test_the_front_is_wider_than_that_of_a_search_for_one_best_student():
    """The same world asked for one student teaches the large ones alone."""
    found = {}
    for kind, pareto in ((FrontBO, ("latency",)), (EdgeBO, ())):
        world, opened = FakeWorld(), config(budget=Budget(seconds=None, teachings=9), latency_x=0.6)
        world.open(dataclasses.replace(opened, goals=(dataclasses.replace(opened.goals[0], pareto=pareto),)))
        policy = a_policy(kind)
        while sum(not taught.final for taught in world.study.teachings) < 9:
            world.do(policy.next(world.study))
        goals = (dataclasses.replace(opened.goals[0], pareto=("latency",)),)
        found[kind] = volume(dataclasses.replace(world.study, config=dataclasses.replace(opened, goals=goals)))
    assert found[FrontBO] > found[EdgeBO]


@pytest.mark.thorough
def test_the_front_comes_to_more_hypervolume_than_by_random_search():
    volumes = {}
    for kind in (FrontBO, RandomChooser):
        worlds = [a_world(teachings=10, latency_x=0.6, seed=seed) for seed in range(6)]
        for world in worlds:
            world.run(a_policy(kind, Plan()))
        volumes[kind] = np.median([volume(world.study) for world in worlds])
    assert volumes[FrontBO] > 1.1 * volumes[RandomChooser]
