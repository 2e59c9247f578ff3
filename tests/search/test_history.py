from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config

from autokd_edge.core.study import fold
from autokd_edge.search.history import before_probes, fitting, readings
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
