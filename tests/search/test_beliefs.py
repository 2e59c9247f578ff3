import numpy as np
import pytest
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FakeWorld, config, latency_ns

from autokd_edge.core.events import Probe
from autokd_edge.core.pupil import Member
from autokd_edge.search.beliefs import LimitBeliefs, capacities, informative, limit_beliefs
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.history import readings
from autokd_edge.search.surrogate import steady

CANDIDATES = Candidates(ARCHITECTURES, DISTILLATIONS)


def a_study(probes, latency_x=0.4, world=None):
    world = world or FakeWorld()
    world.open(config(latency_x=latency_x))
    rng = np.random.default_rng(0)
    world.do(Probe(members=tuple(Member(architecture=ARCHITECTURES.at(rng.random(7).tolist()), index=0) for _ in range(probes))))
    return world.study


def test_the_probability_to_fit_tells_fast_architectures_from_slow_ones():
    study = a_study(60)
    rng = np.random.default_rng(1)
    points = [ARCHITECTURES.at(rng.random(7).tolist()) for _ in range(100)]
    x = CANDIDATES.rows([(point, CANDIDATES.guess) for point in points])
    with steady():
        beliefs = limit_beliefs(study, tuple(readings(study)), CANDIDATES)
        assert isinstance(beliefs, LimitBeliefs)
        probable = beliefs.log_probability(x).exp().numpy() > 0.5
    fits = np.array([latency_ns(Member(architecture=point, index=0)) <= 800_000 for point in points])
    assert 10 < fits.sum() < 90
    assert (probable == fits).mean() > 0.85


def test_without_failures_everything_is_expected_to_build():
    assert LimitBeliefs(models=(), builds=None).log_building(np.ones((4, 2))).tolist() == [0.0] * 4


def test_what_is_like_the_refused_ones_is_expected_to_fail():
    class FakePickyWorld(FakeWorld):
        def _probe(self, member, goal):
            self.broken_probe = member.architecture["op"] == "separable"
            return super()._probe(member, goal)

    study = a_study(40, world=FakePickyWorld())
    with steady():
        beliefs = limit_beliefs(study, tuple(readings(study)), CANDIDATES)
        rng = np.random.default_rng(1)
        points = [ARCHITECTURES.at(rng.random(7).tolist()) for _ in range(50)]
        probability = beliefs.log_building(CANDIDATES.rows([(point, CANDIDATES.guess) for point in points])).exp().numpy()
    refused = np.array([point["op"] == "separable" for point in points])
    assert probability[refused].max() < 0.4
    assert probability[~refused].min() > 0.6


def test_few_readings_are_all_learnt_from_and_of_many_those_near_the_limit_come_first():
    study = a_study(400)
    known = tuple(readings(study))
    assert informative(study, known[:100]) == known[:100]
    chosen = informative(study, known)
    nearest = sorted(known, key=lambda reading: abs(max(reading.log_ratios)))[:128]
    assert len(chosen) == 256
    assert {reading.member for reading in nearest} <= {reading.member for reading in chosen}


def test_capacity_grows_with_parameters_macs_and_latency_and_is_0_where_all_are_equal():
    known = tuple(readings(a_study(20)))
    size = capacities(known)
    logs = np.log([[reading.cost.parameters, reading.cost.macs, reading.measurement.median_ns] for reading in known])
    logs = (logs / logs.std(axis=0)).sum(1)
    assert np.corrcoef(size, logs)[0, 1] > 0.99
    assert capacities(known[:1]).tolist() == pytest.approx([0.0])
