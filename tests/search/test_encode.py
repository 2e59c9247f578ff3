import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.fake_world import ARCHITECTURES

from autokd_edge.core.space import Choice, Integer, Real, SearchSpace, When, WhenEqual
from autokd_edge.search.encode import Encoder


@given(seed=st.integers(0, 10_000))
def test_all_columns_lie_in_the_unit_interval(seed):
    encoder = Encoder(ARCHITECTURES)
    row = encoder.rows([ARCHITECTURES.at(np.random.default_rng(seed).random(len(ARCHITECTURES)).tolist())])
    assert row.shape == (1, len(encoder.stepped))
    assert ((row >= 0) & (row <= 1)).all()


def test_choices_of_more_than_two_are_one_hot_and_of_two_one_column():
    space = SearchSpace(parameters=(Choice(name="op", values=("a", "b", "c")), Choice(name="K", values=(2, 4))))
    rows = Encoder(space).rows([space.point({"op": "b", "K": 4}), space.point({"op": "c", "K": 2})])
    assert rows.tolist() == [[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]


def test_a_parameter_without_effect_lies_in_the_middle():
    space = SearchSpace(
        parameters=(
            Real(name="x", low=0.0, high=1.0),
            Real(name="y", low=0.0, high=1.0, when=When(parameter="x", above=0.5)),
            Choice(name="K", values=(2, 4), when=When(parameter="x", above=0.5)),
            Choice(name="op", values=("a", "b", "c"), when=When(parameter="x", above=0.5)),
        )
    )
    assert Encoder(space).rows([space.point({"x": 0.2})]).tolist() == [[0.2, 0.5, 0.5, 0.0, 0.0, 0.0]]


def test_numbers_of_nodes_add_the_logarithm_of_their_product():
    encoder = Encoder(ARCHITECTURES)
    few = {"N_t": 3, "K_t": 2, "N_m": 1, "N_b": 3, "width": 1e5, "op": "conv3x3"}
    many = {**few, "N_t": 10, "N_m": 10, "N_b": 10, "P_m": 0.5}
    rows = encoder.rows([ARCHITECTURES.point(few), ARCHITECTURES.point(many)])
    assert rows[:, -1].tolist() == pytest.approx([0.0, 1.0])


def test_in_a_union_of_families_the_counts_of_one_family_still_add_the_logarithm_of_their_product():
    within = WhenEqual(parameter="family", value="nago")
    counts = tuple(Integer(name=f"nago.N_{level}", low=1, high=10, when=within) for level in "tb")
    space = SearchSpace(parameters=(Choice(name="family", values=("nago", "mbconv")), *counts))
    points = [{"nago.N_t": 10, "nago.N_b": 10, "family": "nago"}, {"nago.N_t": 10, "nago.N_b": 1, "family": "nago"}, {"family": "mbconv"}]
    rows = Encoder(space).rows([space.point(point) for point in points])
    assert rows[:, -1].tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_no_points_make_no_rows_of_the_right_width():
    encoder = Encoder(ARCHITECTURES)
    assert encoder.rows([]).shape == (0, len(encoder.stepped))
