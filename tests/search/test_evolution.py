import numpy as np
from contracts.policy import PolicyContract
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, FakeWorld, config

from autokd_edge.core.limits import Budget
from autokd_edge.search.evolution import EvolutionChooser
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser

SHORT = Plan(pool=24, batch=4)


class TestEvolutionPolicy(PolicyContract):
    def policy(self):
        return PhasedPolicy(EvolutionChooser(ARCHITECTURES, DISTILLATIONS), (FP32, INT8), SHORT)


def test_with_many_teachings_evolution_is_better_than_random_search():
    best = {}
    for kind in (EvolutionChooser, RandomChooser):
        reached = []
        for seed in range(3):
            world = FakeWorld()
            world.open(config(budget=Budget(seconds=None, teachings=40), latency_x=0.25, seed=seed))
            world.run(PhasedPolicy(kind(ARCHITECTURES, DISTILLATIONS), (FP32,), SHORT))
            reached.append(max(t.outcome.accuracy for t in world.study.teachings if not t.final))
        best[kind] = np.median(reached)
    assert best[EvolutionChooser] > best[RandomChooser]
