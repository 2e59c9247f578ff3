import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FakeWorld, config

from autokd_edge.core.space import Choice, SearchSpace
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.satisfiability import ProbingPolicy, satisfiability


def a_study(latency_x=0.3, memory_bytes=None, most=30, **kinds):
    world = FakeWorld(**kinds)
    world.open(config(latency_x=latency_x, memory_bytes=memory_bytes))
    _, stop = world.run(ProbingPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), most))
    return world.study, stop


def test_so_many_are_probed_none_is_taught_and_each_limit_is_counted_apart():
    study, stop = a_study(latency_x=0.6, memory_bytes=400_000)
    found = satisfiability(study)
    assert (found.probed, found.measured, len(study.teachings)) == (30, 30, 0)
    assert "30 candidates" in stop.reason
    latency, memory = found.shares
    assert (latency.limit, latency.bound, memory.limit, memory.bound) == ("latency", pytest.approx(1_206_000), "memory", 400_000)
    kept = [probed for probed in study.probes if probed.outcome.measurements[0].memory.engine_bytes <= 400_000]
    assert memory.kept == len(kept)
    assert found.fitting == sum(study.fits(probed) for probed in study.probes)
    assert 0 < found.fitting <= min(latency.kept, memory.kept)


def test_the_fastest_and_the_smallest_are_named():
    study, _ = a_study()
    found = satisfiability(study)
    readings = [probed.outcome.measurements[0] for probed in study.probes]
    assert found.fastest.measurement.median_ns == min(m.median_ns for m in readings)
    assert found.smallest.measurement.memory.engine_bytes == min(m.memory.engine_bytes for m in readings)
    assert found.closest is None


def test_where_nothing_fits_the_closest_is_named():
    found = satisfiability(a_study(latency_x=0.001)[0])
    assert (found.fitting, found.shares[0].kept) == (0, 0)
    assert "latency" in str(found.closest)


def test_what_was_refused_is_counted_and_no_number_is_made_of_it():
    found = satisfiability(a_study(broken_probe=True, most=5)[0])
    assert (found.probed, found.measured, found.fastest, found.shares) == (5, 0, None, ())
    assert {failure.error for failure in found.refused} == {"BuildError"}


def test_a_small_space_ends_the_probing():
    world = FakeWorld(broken_probe=True)
    world.open(config())
    small = SearchSpace(parameters=(Choice(name="op", values=("a", "b", "c")),))
    _, stop = world.run(ProbingPolicy(RandomChooser(small, DISTILLATIONS), 30))
    assert "no more than 3" in stop.reason


def test_at_least_one_must_be_probed():
    with pytest.raises(ValueError, match="at least 1"):
        ProbingPolicy(RandomChooser(ARCHITECTURES, DISTILLATIONS), 0)
