from dataclasses import replace

from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config

from autokd_edge.core.pupil import Failed
from autokd_edge.core.study import fold
from autokd_edge.search.history import before_probes, fitting, readings, refused
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser


def test_what_is_remembered_of_a_study_is_that_studys_own():
    world, policy = FakeWorld(), PhasedPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), (FP32,))
    world.open(config())
    for _ in range(3):
        world.do(policy.next(world.study))
        study = world.study
        earlier = before_probes(study, 5)
        assert [reading.member for reading in readings(study)] == [probed.member for probed in study.probes]
        assert readings(earlier) == readings(study)[:5]
        assert readings(fold(world.events)) == readings(study)
        assert fitting(study) == tuple(reading for reading in readings(study) if reading.fits)


def test_a_failure_that_may_pass_says_nothing_of_what_can_be_built():
    world, policy = FakeWorld(), PhasedPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), (FP32,))
    world.open(config())
    world.do(policy.next(world.study))
    first, second, *others = world.study.probes
    fault = Failed(stage="build", error="BuildTimedOutError", message="the compiler did not end", retryable=True)
    late, unable = replace(first, outcome=fault), replace(second, outcome=replace(fault, error="BuildError", retryable=False))
    study = replace(world.study, probes=(late, unable, *others))
    assert set(refused(study)) - set(refused(replace(study, probes=tuple(others)))) == {second.member}
