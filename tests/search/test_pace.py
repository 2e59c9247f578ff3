import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config

from autokd_edge.core.events import GradeEngine, Probe, Teach
from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.search import pace


def a_world():
    world = FakeWorld(probe_s=2.0, step_s=0.15, grade_s=5.0)
    world.open(config())
    return world


def a_pupil(unit=0.5):
    return Pupil(
        member=Member(architecture=ARCHITECTURES.at([unit] * len(ARCHITECTURES)), index=0), distillation=DISTILLATIONS.at([0.5, 0.5])
    )


def test_before_the_first_event_of_a_kind_its_pace_is_0():
    study = a_world().study
    assert (pace.probe_s(study), pace.teach_s(study), pace.grade_s(study)) == (0.0, 0.0, 0.0)
    assert pace.steps_per_s(study, a_pupil().member.architecture) is None


def test_each_pace_is_the_median_time_since_the_event_before():
    world = a_world()
    for unit in (0.2, 0.5, 0.8):
        world.do(Probe(members=(a_pupil(unit).member,)))
        world.do(Teach(pupil=a_pupil(unit), steps=100, final=False))
    world.do(Teach(pupil=a_pupil(), steps=1000, final=True))
    world.do(GradeEngine(pupil=a_pupil(), variant=FP32))
    study = world.study
    assert (pace.probe_s(study), pace.teach_s(study), pace.grade_s(study)) == pytest.approx((2.0, 15.0, 5.0))


def test_steps_a_second_are_those_of_the_family_asked_for():
    world = a_world()
    world.do(Teach(pupil=a_pupil(0.2), steps=100, final=False))
    world.step_s = 0.5
    world.do(Teach(pupil=a_pupil(0.5), steps=100, final=False))
    assert pace.steps_per_s(world.study, a_pupil(0.2).member.architecture) == pytest.approx(1 / 0.15)
    assert pace.steps_per_s(world.study, a_pupil(0.5).member.architecture) == pytest.approx(2.0)
