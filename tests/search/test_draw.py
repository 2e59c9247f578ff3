import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from search.fake_world import ARCHITECTURES, FakeWorld, config

from autokd_edge.core.space import Choice, Integer, Real, SearchSpace, When
from autokd_edge.search.draw import grid, new_points, sample_new, stream, uniform

SMALL = SearchSpace(
    parameters=(
        Integer(name="N_m", low=1, high=2),
        Choice(name="K", values=(2, 4), when=When(parameter="N_m", above=1)),
    )
)


def test_a_grid_lists_every_point_once_although_a_parameter_may_have_no_effect():
    assert [dict(point) for point in grid(SMALL)] == [{"N_m": 1}, {"N_m": 2, "K": 2}, {"N_m": 2, "K": 4}]


def test_spaces_with_real_numbers_or_too_many_points_have_no_grid():
    assert grid(SearchSpace(parameters=(Real(name="tau", low=1.0, high=2.0),))) is None
    assert grid(SearchSpace(parameters=(Integer(name="width", low=1, high=100_000),))) is None


def test_a_space_without_parameters_has_one_point():
    assert len(grid(SearchSpace(parameters=()))) == 1


def test_streams_differ_by_purpose_by_seed_and_as_the_study_grows():
    world, other = FakeWorld(), FakeWorld()
    world.open(config(seed=1))
    other.open(config(seed=2))
    draws = [stream(world.study, "probe").random(), stream(world.study, "teach").random(), stream(other.study, "probe").random()]
    assert stream(world.study, "probe").random() == draws[0]
    assert len(set(draws)) == 3


@given(seed=st.integers(0, 1000), count=st.integers(1, 20))
def test_new_points_are_different_and_not_seen(seed, count):
    rng = np.random.default_rng(seed)
    seen = set(itertools.islice(uniform(ARCHITECTURES, rng), 5))
    points = new_points(uniform(ARCHITECTURES, np.random.default_rng(seed)), lambda p: p not in seen, count)
    assert len(set(points)) == len(points) == count
    assert not seen & set(points)


def test_draws_that_bring_up_nothing_new_end():
    point = next(uniform(SMALL, np.random.default_rng(0)))
    assert new_points(itertools.repeat(point), lambda p: p != point, 3) == []


def test_a_listed_space_is_drawn_from_to_its_last_point():
    listed = grid(SMALL)
    rng = np.random.default_rng(0)
    first = sample_new(SMALL, listed, (), rng, 2)
    rest = sample_new(SMALL, listed, first, rng, 5)
    assert set(first) | set(rest) == set(listed)
    assert len(rest) == 1
