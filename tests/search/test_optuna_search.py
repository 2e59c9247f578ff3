from functools import partial

import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config
from search.proposers import assert_uses_up_a_finite_space, proposed_apart

from autokd_edge.core.events import Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.study import fold
from autokd_edge.search.optuna_search import OptunaProposer
from autokd_edge.search.ungated import UngatedPolicy

pytest.importorskip("optuna")


def a_policy(sampler):
    return UngatedPolicy(OptunaProposer(ARCHITECTURES, DISTILLATIONS, sampler), (FP32,))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_proposal_is_a_function_of_the_study_and_nothing_is_taught_twice(sampler):
    world = FakeWorld()
    world.open(config(budget=Budget(seconds=None, teachings=12), latency_x=0.5))
    for _ in range(22):
        action = a_policy(sampler).next(world.study)
        world.do(action)
    assert a_policy(sampler).next(world.study) == a_policy(sampler).next(fold(list(world.events)))
    pupils = [taught.pupil for taught in world.study.teachings]
    assert len(set(pupils)) == len(pupils) == 11


@pytest.mark.thorough
def test_tpe_learns_which_networks_keep_the_limit():
    world = FakeWorld()
    world.open(config(budget=Budget(seconds=None, teachings=60), latency_x=0.2))
    policy = a_policy("tpe")
    while len(world.study.teachings) < 60:
        world.do(policy.next(world.study))
    fits = [world.study.fits(probed) for probed in world.study.probes]
    assert sum(fits[40:]) / 20 > 2 * sum(fits[:10]) / 10
    assert sum(fits[40:]) >= 8


def test_what_cannot_be_built_is_told_as_a_failed_trial_and_asked_no_more():
    world = FakeWorld(broken_probe=True)
    world.open(config())
    policy = a_policy("tpe")
    for _ in range(5):
        action = policy.next(world.study)
        assert not isinstance(action, Teach)
        world.do(action)
    assert len({probed.member for probed in world.study.probes}) == 5


def test_a_finite_space_with_rising_numbers_is_used_up_without_repetition():
    assert_uses_up_a_finite_space(partial(OptunaProposer, sampler="tpe"))


def test_without_optuna_one_sentence_says_what_to_type():
    done = proposed_apart("autokd_edge.search.optuna_search", "OptunaProposer", more=', "tpe"', before='sys.modules["optuna"] = None')
    assert done.stdout.startswith("InputError")
    assert "pip install 'autokd-edge[baselines]'" in done.stdout
