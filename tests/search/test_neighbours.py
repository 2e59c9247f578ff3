import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from search.fake_world import ARCHITECTURES

from autokd_edge.core.space import Choice, Integer, Real, SearchSpace
from autokd_edge.search.neighbours import moves


@given(seed=st.integers(0, 1000))
def test_a_move_changes_at_most_two_parameters_and_those_they_switch_on(seed):
    rng = np.random.default_rng(seed)
    start = ARCHITECTURES.at(rng.random(len(ARCHITECTURES)).tolist())
    for point in itertools.islice(moves(ARCHITECTURES, [start], rng), 10):
        changed = {name for name, value in point if name in start and start[name] != value}
        assert len(changed) <= 2


def test_whole_numbers_move_by_at_least_one_step_inside_their_range():
    space = SearchSpace(parameters=(Integer(name="N", low=3, high=10),))
    start = space.point({"N": 6})
    reached = {point["N"] for point in itertools.islice(moves(space, [start], np.random.default_rng(0)), 300)}
    assert {5, 7} <= reached <= set(range(3, 11))
    assert 6 not in reached


def test_a_choice_moves_to_every_other_value_and_never_to_itself():
    space = SearchSpace(parameters=(Choice(name="op", values=("a", "b", "c", "d")),))
    start = space.point({"op": "b"})
    reached = {point["op"] for point in itertools.islice(moves(space, [start], np.random.default_rng(0)), 100)}
    assert reached == {"a", "c", "d"}


def test_real_numbers_stay_near_and_in_range():
    space = SearchSpace(parameters=(Real(name="alpha", low=0.0, high=1.0),))
    start = space.point({"alpha": 0.9})
    reached = [point.number("alpha") for point in itertools.islice(moves(space, [start], np.random.default_rng(0)), 200)]
    assert max(reached) <= 1.0
    assert np.median(np.abs(np.array(reached) - 0.9)) < 0.2
