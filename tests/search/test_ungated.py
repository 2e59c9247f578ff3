import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, FakeWorld, config

from autokd_edge.core.events import GradeEngine, Probe, Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.study import fold
from autokd_edge.search.plan import Plan
from autokd_edge.search.random_search import RandomProposer
from autokd_edge.search.ungated import UngatedPolicy


def a_policy(plan=None):
    return UngatedPolicy(RandomProposer(ARCHITECTURES, DISTILLATIONS), (FP32, INT8), plan)


def a_world(teachings=12, seconds=None, latency_x=0.4, **kinds):
    world = FakeWorld(**kinds)
    world.open(config(budget=Budget(seconds=seconds, teachings=None if seconds else teachings), latency_x=latency_x))
    return world


def test_what_breaks_a_limit_is_taught_too_but_the_final_fits():
    world = a_world()
    actions, stop = world.run(a_policy())
    taught = [action for action in actions if isinstance(action, Teach) and not action.final]
    finals = [action for action in actions if isinstance(action, Teach) and action.final]
    fits = {probed.member for probed in world.study.probes if world.study.fits(probed)}
    assert len(taught) == 12
    assert any(action.pupil.member not in fits for action in taught)
    assert all(action.pupil.member in fits for action in finals)
    assert any(isinstance(action, GradeEngine) for action in actions)
    assert "keeps all limits" in stop.reason


def test_every_proposal_is_probed_before_it_is_taught_and_the_choice_is_a_function_of_the_study():
    world = a_world(teachings=4)
    for i in range(8):
        action = a_policy().next(world.study)
        assert isinstance(action, Probe if i % 2 == 0 else Teach)
        assert a_policy().next(fold(list(world.events))) == action
        world.do(action)


def test_a_time_budget_ends_the_search_before_its_share_is_over():
    world = a_world(seconds=600.0)
    world.run(a_policy(Plan(search_share=0.5)))
    last = max(taught.at_s for taught in world.study.teachings if not taught.final)
    assert 200 < last <= 300


@pytest.mark.parametrize(("kind", "said"), [("broken_probe", "could be measured"), ("broken_teaching", "could be taught")])
def test_where_everything_fails_the_search_ends_and_says_why(kind, said):
    _, stop = a_world(**{kind: True}).run(a_policy(Plan(most_probes=10)))
    assert said in stop.reason
    assert "the last failure" in stop.reason


def test_a_policy_must_have_a_variant():
    with pytest.raises(ValueError, match="variant"):
        UngatedPolicy(RandomProposer(ARCHITECTURES, DISTILLATIONS), ())
