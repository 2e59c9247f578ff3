import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.policy import PolicyContract
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, FakeWorld, accuracy, config, latency_ns, measurement

from autokd_edge.core.events import Probe, Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.pupil import Member, Pupil, Screened
from autokd_edge.core.space import Choice, SearchSpace
from autokd_edge.search.beliefs import capacities
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.encode import Encoder
from autokd_edge.search.history import readings
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser

SHORT = Plan(pool=24, batch=4)


def a_policy(chooser=None, plan=SHORT):
    return PhasedPolicy(chooser or EdgeBO(ARCHITECTURES, DISTILLATIONS), (FP32, INT8), plan)


def a_run(policy, *, seed=0, teachings=6, latency_x=0.25, memory_bytes=None):
    world = FakeWorld()
    budget = Budget(seconds=None, teachings=teachings)
    world.open(config(budget=budget, latency_x=latency_x, memory_bytes=memory_bytes, seed=seed))
    world.run(policy)
    return world.study


@pytest.mark.slow
class TestEdgeBOPolicy(PolicyContract):
    def policy(self):
        return a_policy()


def test_guided_probes_fit_far_more_often_than_random_ones():
    share = {}
    for name, chooser in {"edge-bo": EdgeBO(ARCHITECTURES, DISTILLATIONS), "random": RandomChooser(ARCHITECTURES, DISTILLATIONS)}.items():
        study = a_run(a_policy(chooser), latency_x=0.15, teachings=3)
        later = [study.fits(probed) for probed in study.probes[16:] if probed.member.index == 0]
        share[name] = sum(later) / len(later)
    assert share["edge-bo"] > 0.6
    assert share["edge-bo"] > 3 * share["random"]


@pytest.mark.thorough
def test_the_best_pupil_comes_nearer_to_the_optimum_than_by_random_search():
    rng = np.random.default_rng(0)
    points = [ARCHITECTURES.at(rng.random(len(ARCHITECTURES)).tolist()) for _ in range(20_000)]
    guess = DISTILLATIONS.point({"tau": 4.0, "alpha": 0.9})
    pupils = [Pupil(member=Member(architecture=point, index=0), distillation=guess) for point in points]
    optimum = max(accuracy(pupil, 100) for pupil in pupils if latency_ns(pupil.member) <= 500_000)
    regret = {}
    for name, kind in {"edge-bo": EdgeBO, "random": RandomChooser}.items():
        studies = [a_run(a_policy(kind(ARCHITECTURES, DISTILLATIONS), Plan()), seed=seed, teachings=8) for seed in range(6)]
        best = [max(t.outcome.accuracy for t in study.teachings if not t.final) for study in studies]
        regret[name] = optimum - float(np.median(best))
    assert regret["edge-bo"] < 1.0
    assert regret["edge-bo"] < 0.6 * regret["random"]


def test_a_memory_limit_is_learnt_beside_the_latency_limit():
    study = a_run(a_policy(), latency_x=0.3, memory_bytes=400_000, teachings=3)
    later = [study.fits(probed) for probed in study.probes[24:] if probed.member.index == 0]
    assert sum(later) / len(later) > 0.5


def test_without_limits_only_accuracy_is_modelled():
    study = a_run(a_policy(), latency_x=None, teachings=4)
    assert sum(not taught.final for taught in study.teachings) == 4


def test_designs_that_do_not_build_are_avoided():
    class FakePickyWorld(FakeWorld):
        def _probe(self, member, goal):
            self.broken_probe = member.architecture["op"] == "separable"
            return super()._probe(member, goal)

    world = FakePickyWorld()
    world.open(config(budget=Budget(seconds=None, teachings=5), latency_x=0.5))
    world.run(a_policy())
    probes = [probed for probed in world.study.probes if probed.member.index == 0]
    early, late = probes[:16], probes[24:]
    assert sum(isinstance(p.outcome, Screened) for p in early) < 0.7 * len(early)
    assert sum(isinstance(p.outcome, Screened) for p in late) > 0.8 * len(late)


def test_where_all_builds_fail_probing_goes_on_by_chance():
    world = FakeWorld(broken_probe=True)
    world.open(config())
    chooser = EdgeBO(ARCHITECTURES, DISTILLATIONS)
    for _ in range(4):
        world.do(Probe(members=chooser.probe(world.study, 8)))
    assert len({probed.member for probed in world.study.probes}) == 32


def test_while_nothing_fits_half_of_a_batch_is_what_random_search_would_probe():
    world = FakeWorld()
    world.open(config(latency_x=0.0001))
    chooser = EdgeBO(ARCHITECTURES, DISTILLATIONS)
    world.do(Probe(members=chooser.probe(world.study, 16)))
    by_chance = RandomChooser(ARCHITECTURES, DISTILLATIONS).probe(world.study, 4)
    members = chooser.probe(world.study, 8)
    assert len(set(members)) == 8
    assert set(by_chance) < set(members)


def test_the_first_pupil_is_taught_with_the_guessed_distillation_and_is_the_largest_that_fits():
    world = FakeWorld()
    world.open(config(latency_x=0.5))
    chooser = EdgeBO(ARCHITECTURES, DISTILLATIONS, guess={"tau": 2.0, "alpha": 0.5})
    world.do(Probe(members=chooser.probe(world.study, 16)))
    pupil = chooser.teach(world.study)
    assert dict(pupil.distillation) == {"tau": 2.0, "alpha": 0.5}
    sizes = {p.member: p.outcome.cost.parameters * p.outcome.cost.macs for p in world.study.probes if world.study.fits(p)}
    assert sizes[pupil.member] >= np.median(list(sizes.values()))


def test_equal_accuracies_do_not_break_the_models():
    values = {"N_t": (3, 4), "K_t": (2,), "N_m": (1, 2), "N_b": (3, 4), "P_m": (0.5,), "width": (1e5, 2e5), "op": ("conv3x3",)}
    small = SearchSpace(parameters=tuple(Choice(name=name, values=choices) for name, choices in values.items()))

    class FakeFlatWorld(FakeWorld):
        def _teach(self, action):
            taught = super()._teach(action)
            return replace(taught, outcome=replace(taught.outcome, accuracy=90.0))

    world = FakeFlatWorld()
    world.open(config(budget=Budget(seconds=None, teachings=10), latency_x=1.0))
    world.run(a_policy(EdgeBO(small, DISTILLATIONS)))
    assert sum(not taught.final for taught in world.study.teachings) == 10


def test_a_model_that_cannot_be_fitted_is_said_and_the_choice_left_to_chance(caplog):
    class FakeStubbornWorld(FakeWorld):
        def _probe(self, member, goal):
            self.broken_probe = len(self.study.probes) > 0
            return super()._probe(member, goal)

    world, chooser = FakeStubbornWorld(), EdgeBO(ARCHITECTURES, DISTILLATIONS)
    world.open(config(latency_x=0.5))
    world.do(Probe(members=chooser.probe(world.study, 16)))
    with caplog.at_level(logging.WARNING):
        members = chooser.probe(world.study, 8)
    assert len(set(members) - {probed.member for probed in world.study.probes}) == 8
    assert "left to chance: a model needs at least 2 observations; got 1" in caplog.text


def test_the_choice_does_not_depend_on_what_else_was_drawn_in_the_process():
    world, chooser = FakeWorld(), EdgeBO(ARCHITECTURES, DISTILLATIONS)
    world.open(config(latency_x=0.5))
    world.do(Probe(members=chooser.probe(world.study, 24)))
    for _ in range(8):
        world.do(Teach(pupil=chooser.teach(world.study), steps=100, final=False))
    chosen = set()
    for seed in range(8):
        torch.manual_seed(seed)
        chosen.add(chooser.probe(world.study, 8))
    assert len(chosen) == 1


def test_the_pupils_before_the_first_model_stand_for_the_large_ones_that_fit():
    chooser, world = EdgeBO(ARCHITECTURES, DISTILLATIONS), FakeWorld()
    world.open(config(latency_x=4.0))
    world.do(Probe(members=chooser.probe(world.study, 48)))
    for _ in range(5):
        world.do(Teach(pupil=chooser.teach(world.study), steps=100, final=False))
    taught = [t.pupil.member.architecture for t in world.study.teachings]
    fits = [reading for reading in readings(world.study) if reading.fits]
    large = [r.member.architecture for r, size in zip(fits, capacities(fits), strict=True) if size >= np.median(capacities(fits))]

    def uncovered(points):
        new, old = (Encoder(ARCHITECTURES).rows(group) for group in (large, points))
        return np.abs(new[:, None] - old[None]).sum(2).min(1).sum()

    rng = np.random.default_rng(0)
    by_chance = [uncovered([taught[0], *(large[i] for i in rng.permutation(len(large))[:4])]) for _ in range(200)]
    assert uncovered(taught) < np.quantile(by_chance, 0.1)


def test_a_large_network_that_fits_by_a_noisy_reading_alone_is_not_taught():
    chooser, world = EdgeBO(ARCHITECTURES, DISTILLATIONS), FakeWorld()
    world.open(config())
    world.do(Probe(members=chooser.probe(world.study, 24)))
    slowest = max(world.study.probes, key=lambda probed: world.study.best(probed.outcome).median_ns)

    def first_taught(spread, flags):
        fast = replace(measurement(400_000, memory_bytes=2_000_000, spread=spread), flags=flags)
        misread = replace(slowest, outcome=replace(slowest.outcome, measurements=(fast,)))
        probes = tuple(misread if probed is slowest else probed for probed in world.study.probes)
        return chooser.teach(replace(world.study, probes=probes)).member

    assert first_taught(0.01, ()) == slowest.member
    assert first_taught(1.2, ("noisy",)) != slowest.member


@pytest.mark.thorough
def test_bad_readings_that_are_flagged_noisy_and_failing_ones_cost_little():
    class FakeBadWorld(FakeWorld):
        def _probe(self, member, goal):
            kind = len(self.study.probes) % 10
            self.broken_probe = kind == 3
            outcome = super()._probe(member, goal)
            if kind != 7 or not isinstance(outcome, Screened):
                return outcome
            wild = measurement(latency_ns(member) * 5, memory_bytes=round(member.architecture.number("width")), spread=1.2)
            return replace(outcome, measurements=(replace(wild, flags=("noisy",)),))

    best = {}
    for kind in (FakeWorld, FakeBadWorld):
        reached = []
        for seed in range(3):
            world = kind()
            world.open(config(budget=Budget(seconds=None, teachings=10), seed=seed))
            world.run(a_policy())
            reached.append(max(t.outcome.accuracy for t in world.study.teachings if not t.final))
        best[kind] = np.median(reached)
    assert best[FakeBadWorld] > best[FakeWorld] - 0.3
