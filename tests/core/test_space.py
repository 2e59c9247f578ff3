import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd_edge.core.space import Choice, Integer, Parameter, Real, SearchSpace, Value, When, WhenEqual

SPACE = SearchSpace(
    parameters=(
        Integer(name="n", low=1, high=10),
        Real(name="p", low=0.1, high=0.9, when=When(parameter="n", above=1)),
        Integer(name="width", low=8, high=512, log=True),
        Real(name="tau", low=1.0, high=20.0, log=True),
        Choice(name="op", values=("conv", "separable")),
        Integer(name="deep", low=0, high=3, when=When(parameter="p", above=0.5)),
    )
)
UNIT = st.lists(st.floats(0, 1), min_size=len(SPACE), max_size=len(SPACE))


@given(UNIT)
@settings(deadline=None)  # a busy machine is no defect
def test_every_position_of_the_unit_cube_is_a_point_and_its_position_gives_the_same_point(unit: list[float]) -> None:
    point = SPACE.at(unit)
    back = SPACE.unit(point)
    assert all(0 <= u <= 1 for u in back)
    assert SPACE.at(back) == point


@given(UNIT)
@settings(deadline=None)  # a busy machine is no defect
def test_a_point_holds_the_active_parameters_only(unit: list[float]) -> None:
    point = SPACE.at(unit)
    assert ("p" in point) == (point.integer("n") > 1)
    assert ("deep" in point) == ("p" in point and point.number("p") > 0.5)


def test_values_of_inactive_parameters_do_not_make_another_point() -> None:
    base: dict[str, Value] = {"n": 1, "width": 64, "tau": 4.0, "op": "conv"}
    assert SPACE.point({**base, "p": 0.3}) == SPACE.point({**base, "p": 0.7}) == SPACE.point(base)
    assert hash(SPACE.point({**base, "p": 0.3})) == hash(SPACE.point(base))


def test_a_parameter_may_depend_on_the_value_of_a_choice_and_on_what_depends_on_it() -> None:
    space = SearchSpace(
        parameters=(
            Choice(name="family", values=("a", "b")),
            Integer(name="a.n", low=1, high=3, when=WhenEqual(parameter="family", value="a")),
            Real(name="a.p", low=0.0, high=1.0, when=When(parameter="a.n", above=1)),
        )
    )
    every: dict[str, Value] = {"a.n": 2, "a.p": 0.5}
    assert dict(space.point({"family": "a", **every})) == {"family": "a", **every}
    assert dict(space.point({"family": "b", **every})) == {"family": "b"}
    assert dict(space.point({"family": "a", "a.n": 1})) == {"family": "a", "a.n": 1}
    with pytest.raises(ValueError, match=r"'a\.n' must be given"):
        space.point({"family": "a"})


def test_an_integer_meets_each_of_its_values_equally_often() -> None:
    parameter = Integer(name="n", low=1, high=4)
    counts = {value: sum(parameter.at((i + 0.5) / 400) == value for i in range(400)) for value in range(1, 5)}
    assert counts == {1: 100, 2: 100, 3: 100, 4: 100}


def test_a_log_range_meets_its_geometric_middle_halfway() -> None:
    assert Integer(name="n", low=4, high=64, log=True).at(0.5) == 16
    assert Real(name="r", low=1.0, high=100.0, log=True).at(0.5) == 10.0


def test_a_real_keeps_four_digits() -> None:
    assert Real(name="r", low=0.0, high=1.0).at(1 / 3) == 0.3333


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"m": 3}, "got 'm'"),
        ({"n": 11}, "parameter 'n' must lie in its range; got 11"),
        ({"n": True}, "parameter 'n' must lie in its range; got True"),
        ({"tau": 4}, "parameter 'tau' must lie in its range; got 4"),
        ({"op": "lstm"}, "parameter 'op' must lie in its range; got 'lstm'"),
    ],
)
def test_a_point_that_breaks_a_law_is_refused_with_the_value(changes: dict[str, Value], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SPACE.point({"n": 1, "width": 64, "tau": 4.0, "op": "conv", **changes})


def test_a_missing_active_parameter_is_named() -> None:
    with pytest.raises(ValueError, match="parameter 'p' must be given"):
        SPACE.point({"n": 2, "width": 64, "tau": 4.0, "op": "conv"})


def test_an_absent_parameter_is_a_key_error() -> None:
    point = SPACE.point({"n": 1, "width": 64, "tau": 4.0, "op": "conv"})
    with pytest.raises(KeyError, match="p"):
        point["p"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ((Integer(name="a", low=1, high=2), Real(name="a", low=0.0, high=1.0)), "got 'a' twice"),
        ((Integer(name="a", low=1, high=2, when=When(parameter="b", above=1)), Integer(name="b", low=1, high=2)), "got 'b'"),
    ],
)
def test_a_space_with_a_repeated_name_or_a_condition_that_looks_ahead_is_refused(parameters: tuple[Parameter, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SearchSpace(parameters=parameters)


def test_a_range_must_rise_and_a_log_range_from_above_zero() -> None:
    with pytest.raises(ValueError, match="must rise; got 3 to 3"):
        Integer(name="n", low=3, high=3)
    with pytest.raises(ValueError, match="must rise from above 0; got 0"):
        Real(name="r", low=0.0, high=1.0, log=True)
    with pytest.raises(ValueError, match="must be different and at least one"):
        Choice(name="c", values=("a", "a"))
