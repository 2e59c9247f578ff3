from dataclasses import replace

import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config

from autokd_edge.core.events import Teach
from autokd_edge.core.limits import Budget
from autokd_edge.core.pupil import Failed
from autokd_edge.core.study import fold
from autokd_edge.search.bohb import BOHBProposer
from autokd_edge.search.brackets import sizes
from autokd_edge.search.random_search import RandomProposer
from autokd_edge.search.ungated import UngatedPolicy


def a_policy(kind=RandomProposer):
    return UngatedPolicy(kind(ARCHITECTURES, DISTILLATIONS), (FP32,))


def searched(teachings, kind=RandomProposer, **broken):
    """Search with a policy and return the world and the teachings of the search."""
    world = FakeWorld(**broken)
    world.open(replace(config(budget=Budget(seconds=None, teachings=teachings), latency_x=0.8, rungs=3), eta=2))
    world.run(a_policy(kind))
    return world, [taught for taught in world.study.teachings if not taught.final]


def test_brackets_are_those_that_nago_searched_with():
    assert [sizes(3, 2, number) for number in range(4)] == [(4, 2, 1), (2, 1), (3,), (4, 2, 1)]


def test_brackets_of_another_eta_are_hpbandsters():
    assert [sizes(4, 3, number) for number in range(4)] == [(27, 9, 3, 1), (9, 3, 1), (6, 2), (4,)]


def test_without_rungs_a_bracket_is_one_pupil():
    assert [sizes(1, 3, number) for number in range(3)] == [(1,)] * 3


def test_sixty_iterations_are_180_configurations_and_260_runs():
    counts = [sizes(3, 2, number) for number in range(60)]
    assert sum(count[0] for count in counts) == 180
    assert sum(map(sum, counts)) == 260


def test_the_best_of_a_rung_go_on_when_all_are_there():
    world, taught = searched(7)
    steps = [one.steps for one in taught[:10]]
    assert steps == [25, 25, 25, 25, 50, 50, 100, 50, 50, 100]
    fits = {probed.member for probed in world.study.probes if world.study.fits(probed)}
    ranked = sorted(taught[:4], key=lambda one: (one.pupil.member not in fits, -one.outcome.accuracy))
    kept = [one.pupil for one in ranked if one.pupil.member in fits]
    assert len(kept) > 1
    assert [one.pupil for one in taught[4:6]] == kept[:2]
    assert taught[6].pupil == taught[4].pupil
    assert taught[6].of_steps is None


@pytest.mark.parametrize("kind", [RandomProposer, BOHBProposer])
def test_the_choice_is_a_function_of_the_study_at_every_moment(kind):
    world, _ = searched(6, kind)
    events = list(world.events)
    actions = []
    for count in range(4, len(events)):
        action = a_policy(kind).next(fold(events[:count]))
        following = events[count]
        if isinstance(action, Teach):
            actions.append((action.pupil, action.steps))
            assert (following.pupil, following.steps, following.of_steps) == (action.pupil, action.steps, action.of_steps)
    assert len(actions) > 8


def test_where_every_teaching_fails_the_search_ends_and_says_so():
    world, taught = searched(20, broken_teaching=True)
    assert all(isinstance(one.outcome, Failed) for one in taught)
    assert not world.study.grades


def test_who_is_the_best_when_time_is_over_is_taught_to_its_end():
    _, taught = searched(1)  # four first rungs of a quarter are one teaching
    assert [one.steps for one in taught] == [25, 25, 25, 25, 100]
