import numpy as np
import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FP32, FakeWorld, config

from autokd_edge.core.events import Stop
from autokd_edge.core.limits import Budget
from autokd_edge.search.compression import compressed, uncompressed
from autokd_edge.search.explain import explain
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser


def a_study(*, latency_x=0.25, memory_bytes=None, teachings=8):
    world = FakeWorld()
    world.open(config(budget=Budget(seconds=None, teachings=teachings), latency_x=latency_x, memory_bytes=memory_bytes))
    policy = PhasedPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), (FP32,), Plan(pool=24, batch=4, most_probes=32))
    while len(world.study.teachings) < teachings and not isinstance(action := policy.next(world.study), Stop):
        world.do(action)
    return world.study


def test_the_limit_that_buys_most_comes_first_and_counts_are_of_readings():
    found = explain(a_study(latency_x=0.25, memory_bytes=9_000_000), ARCHITECTURES, DISTILLATIONS)
    latency, memory = found.loosened  # no network needs as much
    assert (latency.limit, memory.limit) == ("latency", "memory")
    assert latency.bound == 502_500  # a quarter of the upper bound of the teacher's median
    assert latency.loosened == pytest.approx(552_750)
    assert latency.broken == latency.broken_alone > 0 == memory.broken == memory.gain
    assert latency.fitting_then >= latency.fitting > 0
    assert latency.gain >= 0
    assert 84 < latency.predicted < 96


def test_what_the_latency_depends_on_is_found_and_what_it_does_not_is_not():
    found = explain(a_study(), ARCHITECTURES, DISTILLATIONS)
    shares = {one.parameter: one for one in found.influences}
    assert set(shares) == {parameter.name for space in (ARCHITECTURES, DISTILLATIONS) for parameter in space.parameters}
    nodes = min(shares[name].latency for name in ("N_t", "N_m", "N_b"))
    assert nodes > max(shares[name].latency for name in ("K_t", "P_m", "width", "tau", "alpha"))
    assert shares["tau"].latency == 0
    assert found.influences[0].accuracy == max(one.accuracy for one in found.influences)


def test_where_nothing_fits_or_little_was_taught_accuracy_is_left_out_and_it_is_said():
    found = explain(a_study(latency_x=0.0001), ARCHITECTURES, DISTILLATIONS)
    assert found.lessons == 0
    assert "there were 0" in found.unexplained
    assert found.loosened[0].gain is None
    assert found.loosened[0].fitting == found.loosened[0].fitting_then == 0
    assert all(one.accuracy is None for one in found.influences)


def test_without_limits_nothing_binds():
    found = explain(a_study(latency_x=None, teachings=2), ARCHITECTURES, DISTILLATIONS)
    assert found.loosened == ()
    assert found.influences == ()


def test_compressed_accuracies_are_brought_back():
    y = np.array([10.0, 88.0, 90.0, 91.0, 93.0])
    assert uncompressed(compressed(y), y) == pytest.approx(y)
