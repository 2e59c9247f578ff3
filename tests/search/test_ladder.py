import dataclasses

import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, FakeWorld, accuracy, config

from autokd_edge.core.events import Probe, Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.pupil import Failed, Member, Pupil
from autokd_edge.core.rungs import added_steps, spent
from autokd_edge.search.accuracies import gains
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.history import lessons
from autokd_edge.search.ladder import paused, places
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.verdicts import best_grade

SPACES = (ARCHITECTURES, DISTILLATIONS)
RUNGS = (11, 33, 100)  # of the fake world's 100 steps, eta 3
SIX = Budget(seconds=None, teachings=6)


class UnevenWorld(FakeWorld):
    """Separable networks learn late: they gain ten points more on the way from the lowest rung to the end."""

    def _reached(self, pupil, steps):
        late = 10.0 * (100 - steps) / 100 if pupil.member.architecture["op"] == "separable" else 0.0
        return accuracy(pupil, steps) - late


def policy(chooser=RandomChooser) -> PhasedPolicy:
    return PhasedPolicy(chooser(*SPACES), (FP32, INT8), Plan(pool=16))


def a_pupil(op: str, width: float, nodes: int = 3) -> Pupil:
    point = ARCHITECTURES.point({"N_t": nodes, "K_t": 2, "N_m": 1, "N_b": 3, "width": width, "op": op})
    return Pupil(member=Member(architecture=point, index=0), distillation=DISTILLATIONS.at([0.5, 0.5]))


def up_to(pupil: Pupil, rung: int) -> Teach:
    return Teach(pupil=pupil, steps=RUNGS[rung], final=False, of_steps=None if rung == 2 else 100)


@pytest.fixture(scope="module")
def whole() -> FakeWorld:
    world = FakeWorld()
    world.open(config(latency_x=0.6, budget=SIX, rungs=3, final_members=1))
    world.run(policy())
    return world


def test_rungs_are_shares_of_the_whole_teaching_and_one_rung_is_all_of_it():
    assert config(rungs=3).rung_steps == RUNGS
    assert config().rung_steps == (100,)
    for rungs, eta in ((0, 3), (2, 1)):
        with pytest.raises(ValueError, match=rf"at least 1 rung, eta must be at least 2; got {rungs} and {eta}"):
            dataclasses.replace(config(), rungs=rungs, eta=eta)


def test_one_of_eta_pupils_goes_on_from_each_rung(whole):
    steps = [taught.steps for taught in whole.study.teachings if not taught.final]
    counts = [steps.count(rung) for rung in RUNGS]
    # The budget may end while a place is free.
    assert counts[0] // 3 - 1 <= counts[1] <= counts[0] // 3
    assert counts[1] // 3 - 1 <= counts[2] <= counts[1] // 3
    assert counts[2] >= 2
    free = [rung for rung in (0, 1) if counts[rung + 1] < counts[rung] // 3]
    assert sorted(places(whole.study)) == free


def test_a_budget_of_teachings_counts_whole_ones(whole):
    assert 6 <= spent(whole.study) < 6 + 1
    assert sum(added for _, added in added_steps(whole.study)) == spent(whole.study) * 100
    pupils = {taught.pupil for taught in whole.study.teachings if not taught.final}
    assert len(pupils) > 12  # many more than six are looked at


def test_accuracies_on_lower_rungs_never_count_as_a_pupils_own(whole):
    ended = {taught.pupil for taught in whole.study.teachings if taught.of_steps is None and not taught.final}
    assert {pupil for pupil, _ in lessons(whole.study)} == ended
    finals = [taught.pupil for taught in whole.study.teachings if taught.final]
    assert {pupil.member.architecture for pupil in finals} <= {pupil.member.architecture for pupil in ended}
    assert best_grade(whole.study) is not None


def test_a_pupil_is_taught_on_and_never_from_the_beginning(whole):
    reached = {}
    for taught in whole.study.teachings:
        if not taught.final:
            assert taught.steps > reached.get(taught.pupil, 0)
            reached[taught.pupil] = taught.steps


def test_who_goes_on_is_who_the_model_expects_to_be_best_at_the_end():
    world = UnevenWorld()
    world.open(config(latency_x=5.0, rungs=3))
    known = [a_pupil(op, width, nodes) for op in ("conv3x3", "separable") for width in (2e4, 6e4) for nodes in (3, 5)]
    waiting = [a_pupil(op, 1e5, 4) for op in ("conv3x3", "separable")]
    world.do(Probe(members=tuple(pupil.member for pupil in (*known, *waiting))))
    for rung in range(3):
        for pupil in known:
            world.do(up_to(pupil, rung))
    for pupil in waiting:
        world.do(up_to(pupil, 0))
    early, late = paused(world.study)
    assert early.accuracy > late.accuracy + 5  # the best of the lowest rung
    wide = [a_pupil("separable", 9e5, 4), a_pupil("conv3x3", 3e4, 4)]  # the late one is better at the end, by 3 points
    world.do(Probe(members=tuple(pupil.member for pupil in wide)))
    for pupil in wide:
        world.do(up_to(pupil, 0))
    among = [one for one in paused(world.study) if one.pupil in wide]
    assert RandomChooser(*SPACES).promising(world.study, among).pupil == wide[1]
    assert EdgeBO(*SPACES).promising(world.study, among).pupil == wide[0]


def test_what_pupils_gain_on_the_way_is_the_median_of_those_that_went_it():
    world = UnevenWorld()
    world.open(config(latency_x=5.0, rungs=3))
    pupils = [a_pupil("conv3x3", width) for width in (2e4, 4e4, 8e4)]
    world.do(Probe(members=tuple(pupil.member for pupil in pupils)))
    assert gains(world.study) == (0.0, 0.0)
    for pupil in pupils:
        world.do(up_to(pupil, 0))
    world.do(up_to(pupils[0], 1))
    first, second = gains(world.study)
    assert first == pytest.approx(accuracy(pupils[0], 33) - accuracy(pupils[0], 11))
    assert second == 0.0


def test_where_nobody_came_to_the_end_the_most_promising_one_does():
    world = FakeWorld()
    world.open(config(latency_x=0.6, budget=Budget(seconds=None, teachings=1), rungs=3, final_members=1))
    world.run(policy())
    ended = [taught for taught in world.study.teachings if taught.of_steps is None and not taught.final]
    assert len(ended) == 1
    assert best_grade(world.study) is not None


def test_under_a_time_budget_rungs_keep_to_the_searchs_share():
    world = FakeWorld()
    world.open(config(latency_x=0.6, budget=Budget(seconds=600.0, teachings=None), rungs=3, final_members=1))
    world.run(policy())
    assert max(t.at_s for t in world.study.teachings if not t.final) <= 0.6 * 600 + 15
    assert best_grade(world.study) is not None


def test_teachings_that_fail_on_the_lowest_rung_end_the_search():
    world = FakeWorld(broken_teaching=True)
    world.open(config(latency_x=0.6, rungs=3))
    _, stop = world.run(policy())
    assert stop.reason.startswith("no candidate could be taught in 5 tries")
    assert all(isinstance(taught.outcome, Failed) for taught in world.study.teachings)


def test_the_default_strategy_searches_on_rungs_to_its_end():
    world = FakeWorld()
    world.open(config(latency_x=0.6, budget=Budget(seconds=None, teachings=3), rungs=2, final_members=1))
    _, stop = world.run(policy(EdgeBO))
    assert "keeps all limits" in stop.reason
    assert {taught.steps for taught in world.study.teachings if not taught.final} == {33, 100}
