import dataclasses

import numpy as np
import pytest
import torch
from search.fake_world import ARCHITECTURES, DISTILLATIONS, FakeWorld, accuracy, config

from autokd_edge.core.events import Probe, Teach
from autokd_edge.core.pupil import Member, Pupil, Recalled
from autokd_edge.core.space import Point
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.compression import compressed
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.prior import fit_after, recalled_model
from autokd_edge.search.surrogate import predict

CANDIDATES = Candidates(ARCHITECTURES, DISTILLATIONS)


def pupils(count, seed):
    rng = np.random.default_rng(seed)
    return [
        Pupil(
            member=Member(architecture=ARCHITECTURES.at(rng.random(len(ARCHITECTURES)).tolist()), index=0),
            distillation=DISTILLATIONS.at(rng.random(len(DISTILLATIONS)).tolist()),
        )
        for _ in range(count)
    ]


def lessons(count, seed, *, shuffled=False):
    found = pupils(count, seed)
    accuracies = np.array([accuracy(pupil, 100) - 20 for pupil in found])  # an earlier, harder data set
    if shuffled:
        np.random.default_rng(seed).shuffle(accuracies)
    return tuple(Recalled(pupil=pupil, accuracy=float(a)) for pupil, a in zip(found, accuracies, strict=True))


def error_of(recalled, own=6):
    """Return the share of the variance of new pupils' accuracies that a model after so many lessons misses."""
    taught, new = pupils(own, 1), pupils(200, 2)
    earlier = recalled_model(recalled, CANDIDATES)

    def rows(some):
        return CANDIDATES.rows([(pupil.member.architecture, pupil.distillation) for pupil in some])

    y = np.array([accuracy(pupil, 100) for pupil in taught])
    model = fit_after(rows(taught), y, CANDIDATES.accuracy_columns, earlier)
    truth = np.array([accuracy(pupil, 100) for pupil in new])
    return float(((predict(model, rows(new))[0].numpy() - truth) ** 2).mean() / truth.var())


def test_a_good_earlier_study_tells_much_and_a_bad_one_costs_little():
    without = error_of(())
    assert error_of(lessons(40, 0)) < 0.6 * without
    assert error_of(lessons(40, 0, shuffled=True)) < 1.25 * without


def test_the_fast_prediction_is_that_of_the_model_for_acquisition_functions():
    taught = pupils(6, 1)
    x = CANDIDATES.rows([(pupil.member.architecture, pupil.distillation) for pupil in taught])
    y = compressed(np.array([accuracy(pupil, 100) for pupil in taught]))
    model = fit_after(x, y, CANDIDATES.accuracy_columns, recalled_model(lessons(40, 0), CANDIDATES))
    assert model.trend is not None
    assert model.trend.slope > 0
    new = CANDIDATES.rows([(pupil.member.architecture, pupil.distillation) for pupil in pupils(5, 3)])
    mean, deviation = predict(model, new)
    posterior = model.model.posterior(torch.from_numpy(new))
    assert mean.tolist() == pytest.approx(posterior.mean.squeeze(-1).tolist(), abs=1e-6)
    assert deviation.tolist() == pytest.approx(posterior.variance.squeeze(-1).sqrt().tolist(), abs=1e-6)


def opened(**changes):
    world = FakeWorld()
    world.open(dataclasses.replace(config(latency_x=0.5), **changes))
    return world


def test_what_a_user_starts_with_is_probed_and_taught_first():
    start = Point(values=(("N_m", 1), ("tau", 8.0)))
    world, chooser = opened(starts=(start,)), EdgeBO(ARCHITECTURES, DISTILLATIONS)
    members = chooser.probe(world.study, 16)
    assert len(set(members)) == 16
    assert [member.architecture["N_m"] for member in members[:4]] == [1, 1, 1, 1]
    world.do(Probe(members=members[:6]))
    rest = chooser.probe(world.study, 10)
    assert not set(rest) & set(members[:4])
    world.do(Probe(members=rest))
    pupil = chooser.teach(world.study)
    assert pupil.member.architecture["N_m"] == 1
    assert dict(pupil.distillation) == {"tau": 8.0, "alpha": 0.9}


def test_the_first_pupil_is_the_one_that_an_earlier_study_would_take():
    world, chooser = opened(recalled=lessons(60, 0)), EdgeBO(ARCHITECTURES, DISTILLATIONS)
    world.do(Probe(members=chooser.probe(world.study, 16)))
    first = chooser.teach(world.study)
    fits = [p.member for p in world.study.probes if world.study.fits(p)]
    better = [accuracy(Pupil(member=m, distillation=first.distillation), 100) > accuracy(first, 100) for m in fits]
    assert sum(better) <= len(fits) // 4
    for _ in range(2):
        world.do(Teach(pupil=chooser.teach(world.study), steps=100, final=False))
    assert len(set(chooser.probe(world.study, 8))) == 8
