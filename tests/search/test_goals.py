import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, INT8, FakeWorld, config

from autokd_edge.core.events import Confirm, Confirmed, Graded, GradeEngine, Probe, Stop, Taught, Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.pupil import Failed, Member, Pupil
from autokd_edge.core.study import Study
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.evolution import EvolutionChooser
from autokd_edge.search.finals import began_s
from autokd_edge.search.goals import GoalsInTurn
from autokd_edge.search.history import asked, chosen, lessons, suitable
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser, RandomProposer
from autokd_edge.search.ungated import UngatedPolicy
from autokd_edge.search.verdicts import best_grade

SPACES = (ARCHITECTURES, DISTILLATIONS)
VARIANTS = (FP32, INT8)
PLAN = Plan(pool=16)
PUPIL = Pupil(member=Member(architecture=ARCHITECTURES.at([0.5] * len(ARCHITECTURES)), index=0), distillation=DISTILLATIONS.at([0.5, 0.5]))
SIX = Budget(seconds=None, teachings=6)


def in_turn(count: int = 2, chooser: type = RandomChooser) -> GoalsInTurn:
    return GoalsInTurn([PhasedPolicy(chooser(*SPACES), VARIANTS, PLAN) for _ in range(count)], PLAN)


def ungated() -> GoalsInTurn:
    return GoalsInTurn([UngatedPolicy(RandomProposer(*SPACES), VARIANTS, PLAN) for _ in range(2)], PLAN)


def ran(policy: GoalsInTurn, **changes) -> tuple[FakeWorld, Stop]:
    world = FakeWorld()
    world.open(config(latency_x=0.6, others_x=(0.6,), **({"budget": SIX} | changes)))
    _, stop = world.run(policy)
    return world, stop


@pytest.fixture(scope="module")
def whole() -> tuple[FakeWorld, Stop]:
    return ran(in_turn(), final_members=2)


def views(study: Study) -> list[Study]:
    return [study.of(goal) for goal in range(len(study.config.goals))]


def test_every_goal_gets_its_pool_its_teachings_its_finals_and_its_engine(whole):
    world, stop = whole
    for view in views(world.study):
        assert len(view.probes) >= PLAN.pool
        assert best_grade(view) is not None
        assert any(taught.final for taught in view.teachings)
    owed = [taught.goal for taught in world.study.teachings if not taught.final]
    assert (owed.count(0), owed.count(1)) == (3, 3)
    assert stop.reason.startswith("fake: the engines of")
    assert "; fake-1: the engines of" in stop.reason


def test_a_lesson_of_the_search_serves_every_goal_and_its_pupil_is_asked_of_every_device(whole):
    study = whole[0].study
    first, second = views(study)
    assert lessons(first) == lessons(second)
    assert len(lessons(first)) == 6
    taught = {pupil.member for pupil, _ in lessons(first)}
    assert taught <= asked(first)
    assert taught <= asked(second)
    assert {probed.member for probed in second.probes} - {probed.member for probed in chosen(second)} <= taught


def test_no_pupil_is_taught_twice_for_as_many_steps(whole):
    searched = [taught.pupil for taught in whole[0].study.teachings if not taught.final]
    assert len(set(searched)) == len(searched)


def test_what_is_suitable_for_a_goal_keeps_its_own_limits(whole):
    for view in views(whole[0].study):
        fitting = {probed.member for probed in view.probes if view.fits(probed)}
        assert {pupil.member for pupil, _ in suitable(view)} == {pupil.member for pupil, _ in lessons(view)} & fitting


def test_the_final_teachings_of_one_goal_are_none_of_the_other(whole):
    for number, view in enumerate(views(whole[0].study)):
        assert {taught.goal for taught in view.teachings if taught.final} == {number}
        assert {graded.goal for graded in view.grades} == {number}


@pytest.mark.parametrize(
    ("policy", "rungs"),
    [(in_turn, 1), (ungated, 1), (lambda: in_turn(chooser=EvolutionChooser), 1), (in_turn, 3)],
    ids=["random", "ungated", "evolution", "on rungs"],
)
def test_a_study_cut_anywhere_goes_on_to_the_same_end(policy, rungs):
    world, stop = ran(policy(), final_members=2, rungs=rungs)
    for cut in range(3, len(world.events)):
        half = FakeWorld(events=world.events[:cut])
        action = policy().next(half.study)
        assert not isinstance(action, Stop)
        if isinstance(action, Probe):  # the rest of a batch follows in the same order
            rest = [event.member for event in world.events[cut : cut + len(action.members)]]
            assert (list(action.members), action.goal) == (rest, world.events[cut].goal)
        else:
            assert done(action) == done(world.events[cut])
    assert policy().next(world.study) == stop


def done(step: Confirm | Teach | GradeEngine | Confirmed | Taught | Graded) -> tuple[object, ...]:
    """Return what an action asks for, or what was asked of whoever gave an event."""
    names = ("member", "pupil", "variant", "steps", "final", "of_steps", "goal")
    return tuple(getattr(step, name, None) for name in names)


def test_a_goal_that_nothing_fits_stops_with_its_reason_and_the_other_goes_on():
    world = FakeWorld()
    world.open(config(others_x=(1e-4,), budget=SIX))
    _, stop = world.run(in_turn())
    first, second = views(world.study)
    assert best_grade(first) is not None
    assert best_grade(second) is None
    assert "fake-1: no candidate fits after" in stop.reason
    assert len(chosen(second)) <= len(chosen(first)) + 8 * 6  # it does not hold the other one up
    assert {taught.goal for taught in world.study.teachings} == {0}


def test_the_finals_share_the_time_that_is_left():
    world, _ = ran(in_turn(), budget=Budget(seconds=1200.0, teachings=None), final_members=1)
    finals = [taught for taught in world.study.teachings if taught.final]
    assert {taught.goal for taught in finals} == {0, 1}
    steps = {goal: max(taught.steps for taught in finals if taught.goal == goal) for goal in (0, 1)}
    assert 0.6 < steps[0] / steps[1] < 1.7
    assert world.study.elapsed_s <= 1200 * 1.02


def test_a_finalist_that_was_taught_for_another_goal_is_taught_for_as_many_steps():
    world = FakeWorld()
    world.open(config(others_x=(0.25,), budget=SIX, final_members=1))
    world.run(GoalsInTurn([_Wanting(goal) for goal in range(2)], PLAN))
    finals = [taught for taught in world.study.teachings if taught.final]
    assert [(taught.goal, taught.steps) for taught in finals] == [(0, 400), (1, 400)]
    assert finals[1].at_s - finals[0].at_s < 1


class _Wanting:
    """Teaches one pupil at last, each goal for steps of its own."""

    def __init__(self, goal: int) -> None:
        self._goal = goal

    def is_mid_turn(self, study: Study) -> bool:  # noqa: ARG002  the port's signature
        return False

    def next(self, study: Study):
        done = any(taught.final for taught in study.teachings)
        return Stop(reason="done") if done else Teach(pupil=PUPIL, steps=400 + 7 * self._goal, final=True)


def test_when_the_final_phase_began_is_read_from_the_events(whole):
    study = whole[0].study
    first, second = views(study)
    ends = [taught.at_s for taught in study.teachings if not taught.final]
    assert began_s(first) >= max(ends)
    assert began_s(second) > began_s(first)
    assert began_s(study.of(0)) < min(graded.at_s for graded in first.grades)


def test_the_default_strategy_learns_accuracy_from_all_lessons():
    world, _ = ran(in_turn(chooser=EdgeBO), budget=Budget(seconds=None, teachings=5), final_members=1)
    first, second = views(world.study)
    assert len(lessons(first)) == len(lessons(second)) == 5
    assert best_grade(first) is not None
    assert best_grade(second) is not None


def test_of_one_goal_the_policy_is_the_one_that_it_wraps():
    alone, wrapped = FakeWorld(), FakeWorld()
    for world in (alone, wrapped):
        world.open(config())
    plain, _ = alone.run(PhasedPolicy(RandomChooser(*SPACES), VARIANTS, PLAN))
    turned, _ = wrapped.run(in_turn(1))
    assert plain == turned


def test_teachings_that_fail_for_all_end_the_search():
    world = FakeWorld(broken_teaching=True)
    world.open(config(others_x=(0.4,)))
    _, stop = world.run(in_turn())
    assert "fake: no candidate could be taught" in stop.reason
    assert all(isinstance(e.outcome, Failed) for e in world.events if isinstance(e, Taught))
    assert not any(isinstance(e, GradeEngine) for e in world.events)
