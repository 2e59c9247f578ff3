import numpy as np
import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FakeWorld, config

from autokd_edge.core.events import Probe, Teach
from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.space import Choice, SearchSpace
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.history import readings

SMALL = SearchSpace(parameters=(Choice(name="op", values=("a", "b", "c")), Choice(name="K", values=(2, 4))))


def a_world():
    world = FakeWorld()
    world.open(config(latency_x=1.0))
    return world


def probe(world, points):
    world.do(Probe(members=tuple(Member(architecture=point, index=0) for point in points)))


def test_a_design_goes_on_where_it_stopped_and_fills_the_space_evenly():
    candidates, world = Candidates(ARCHITECTURES, DISTILLATIONS), a_world()
    for _ in range(4):
        probe(world, candidates.design(world.study, 8))
    points = [probed.member.architecture for probed in world.study.probes]
    assert len(set(points)) == 32
    units = np.array([ARCHITECTURES.unit(point) for point in points])[:, 0]
    assert np.histogram(units, bins=4, range=(0, 1))[0].min() >= 4


def test_the_pool_of_a_finite_space_is_all_that_was_not_probed():
    candidates, world = Candidates(SMALL, SearchSpace(parameters=())), a_world()
    points, rows = candidates.pool(world.study, ())
    assert len(points) == len(rows) == 6


def test_the_pool_holds_points_near_what_is_known_and_none_that_was_probed():
    candidates, world = Candidates(ARCHITECTURES, DISTILLATIONS), a_world()
    probe(world, candidates.design(world.study, 16))
    points, rows = candidates.pool(world.study, tuple(readings(world.study)))
    assert len(points) == len(set(points)) == len(rows) > 900
    assert not {probed.member.architecture for probed in world.study.probes} & set(points)


def test_distillation_points_hold_the_guess_and_the_best_so_far():
    candidates, world = Candidates(ARCHITECTURES, DISTILLATIONS, guess={"tau": 2.0, "alpha": 0.5}), a_world()
    best = DISTILLATIONS.point({"tau": 4.0, "alpha": 0.9})
    for point in (DISTILLATIONS.point({"tau": 19.0, "alpha": 0.1}), best):
        member = Member(architecture=ARCHITECTURES.at([0.5] * len(ARCHITECTURES)), index=0)
        world.do(Teach(pupil=Pupil(member=member, distillation=point), steps=100, final=False))
    points = candidates.distillations(world.study)
    assert points[:2] == [best, DISTILLATIONS.point({"tau": 2.0, "alpha": 0.5})]
    assert len(points) > 20


def test_a_guess_for_a_parameter_that_the_space_lacks_is_left_out():
    assert dict(Candidates(SMALL, SearchSpace(parameters=())).guess) == {}


def test_a_guess_outside_the_space_is_refused():
    with pytest.raises(ValueError, match="alpha"):
        Candidates(ARCHITECTURES, DISTILLATIONS, guess={"alpha": 3.0})


def test_accuracy_is_modelled_by_the_description_and_limits_by_the_parameters():
    candidates = Candidates(SMALL, DISTILLATIONS, describe=lambda point: [float(point["K"] == 4), 0.25])
    rows = candidates.rows([(SMALL.point({"op": "b", "K": 4}), candidates.guess)])
    limits, accuracy = candidates.limit_columns, candidates.accuracy_columns
    assert rows[0, : len(limits.stepped)].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert rows[0, accuracy.first : accuracy.first + 2].tolist() == [1.0, 0.25]
    assert rows.shape[1] == accuracy.first + len(accuracy.stepped) == 8


def test_without_a_description_accuracy_sees_the_whole_row():
    candidates = Candidates(SMALL, DISTILLATIONS)
    assert candidates.accuracy_columns.first == 0
    assert len(candidates.accuracy_columns.stepped) == 6
