import numpy as np
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config

from autokd_edge.core.limits import Budget
from autokd_edge.core.study import fold
from autokd_edge.search.bohb import BOHBProposer
from autokd_edge.search.random_search import RandomProposer
from autokd_edge.search.ungated import UngatedPolicy


def a_policy(kind=BOHBProposer):
    return UngatedPolicy(kind(ARCHITECTURES, DISTILLATIONS), (FP32,))


def a_world(teachings, seed=0, latency_x=0.5):
    world = FakeWorld()
    world.open(config(budget=Budget(seconds=None, teachings=teachings), latency_x=latency_x, seed=seed))
    return world


def taught_by(kind, teachings, seed=0, latency_x=0.5):
    world, policy = a_world(teachings, seed, latency_x), a_policy(kind)
    while len(world.study.teachings) < teachings:
        world.do(policy.next(world.study))
    return world


def test_a_proposal_is_a_function_of_the_study_and_nothing_is_taught_twice():
    world = taught_by(BOHBProposer, 40)
    assert a_policy().next(world.study) == a_policy().next(fold(list(world.events)))
    pupils = [taught.pupil for taught in world.study.teachings]
    assert len(set(pupils)) == len(pupils) == 40


def test_before_there_is_a_model_it_is_random_search():
    dimensions = len(ARCHITECTURES) + len(DISTILLATIONS)
    few = 2 * (dimensions + 1) - 1  # the good and the bad are d + 1 each
    pupils = [[taught.pupil for taught in taught_by(kind, few).study.teachings] for kind in (BOHBProposer, RandomProposer)]
    assert pupils[0] == pupils[1]


def test_the_model_learns_what_keeps_the_limit():
    best = {}
    for kind in (BOHBProposer, RandomProposer):
        reached = []
        for seed in range(2):
            study = taught_by(kind, 70, seed, latency_x=0.2).study
            fits = {probed.member for probed in study.probes if study.fits(probed)}
            reached.append(sum(taught.pupil.member in fits for taught in study.teachings[30:]))
        best[kind] = float(np.mean(reached))
    assert best[BOHBProposer] > 1.3 * best[RandomProposer]
