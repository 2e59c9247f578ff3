import math
from dataclasses import replace

import pytest
from fakes.study import (
    FP32,
    INT8,
    sample_config,
    sample_digest,
    sample_events,
    sample_measurement,
    sample_referenced,
    sample_study,
    sample_study_of_two,
)

from autokd_edge.core.events import Begun, Graded, Opened, Probed, Shipped, Taught
from autokd_edge.core.pupil import Cost, Failed, Grade, Lesson, Screened
from autokd_edge.core.study import advance, fold, keeps

COST = Cost(parameters=1, macs=1, activation_bytes=1)
EVENTS = sample_events(probes=20, taught=6)


def test_a_study_is_the_fold_of_its_events() -> None:
    study = fold(EVENTS)
    assert study.config == EVENTS[0].config  # type: ignore[union-attr]  # the first event is Opened
    assert study.probes == tuple(e for e in EVENTS if isinstance(e, Probed))
    assert study.teachings == tuple(e for e in EVENTS if isinstance(e, Taught))
    assert study.grades == tuple(e for e in EVENTS if isinstance(e, Graded))
    assert study.shipped == next(e for e in EVENTS if isinstance(e, Shipped))
    assert study.elapsed_s == EVENTS[-1].at_s


def test_a_teaching_runs_from_its_beginning_to_its_end() -> None:
    taught = next(e for e in EVENTS if isinstance(e, Taught))
    begun = Begun(pupil=taught.pupil, steps=taught.steps, final=taught.final, at_s=taught.at_s)
    before = advance(fold(EVENTS[: EVENTS.index(taught)]), begun)
    assert before.running == (begun,)
    assert advance(before, replace(begun, steps=begun.steps + 1)).running == (begun, replace(begun, steps=begun.steps + 1))
    assert advance(before, taught).running == ()
    assert advance(before, taught).beginnings == (begun,)
    assert fold(EVENTS).running == ()


def test_folding_in_two_parts_gives_the_same_study() -> None:
    half = fold(EVENTS[:11])
    for event in EVENTS[11:]:
        half = advance(half, event)
    assert half == fold(EVENTS)


def test_a_study_begins_once_and_with_opened() -> None:
    with pytest.raises(ValueError, match="must begin with Opened; got no event"):
        fold(())
    with pytest.raises(ValueError, match="must begin with Opened; got Referenced"):
        fold((sample_referenced(),))
    with pytest.raises(ValueError, match="opened once"):
        fold((EVENTS[0], EVENTS[0]))


def test_a_failed_probe_fits_nothing() -> None:
    study = sample_study()
    failed = [p for p in study.probes if isinstance(p.outcome, Failed)]
    assert failed
    assert not any(study.fits(p) for p in failed)


def test_a_probe_fits_where_it_keeps_every_device_limit() -> None:
    study = sample_study()
    measured = [p for p in study.probes if isinstance(p.outcome, Screened)]
    for probed in measured:
        assert isinstance(probed.outcome, Screened)
        assert study.fits(probed) == all(s.excess <= 0 for s in study.slacks(study.best(probed.outcome)))
    assert {study.fits(p) for p in measured} == {True, False}


def test_a_grade_is_compared_with_the_accuracy_floor_too() -> None:
    study = fold((Opened(config=sample_config(), at_s=0.0), sample_referenced()))
    grade = Grade(
        accuracy=80.0,
        measurement=sample_measurement(50_000.0, protocol="final", variant=FP32),
        float_graph=EVENTS[0].config.data_digest,  # type: ignore[union-attr]  # any digest
        graph=EVENTS[0].config.data_digest,  # type: ignore[union-attr]
        engine=EVENTS[0].config.data_digest,  # type: ignore[union-attr]
    )
    assert [s.limit for s in study.grade_slacks(grade)] == ["latency", "memory", "accuracy"]
    assert keeps(study.slacks(grade.measurement))
    assert not keeps(study.grade_slacks(grade))


def test_what_fits_is_decided_on_the_best_variant() -> None:
    study = sample_study()
    probed = next(p for p in study.probes if isinstance(p.outcome, Screened) and not study.fits(p))
    assert isinstance(probed.outcome, Screened)
    fast = sample_measurement(50_000.0, variant=INT8)
    both = replace(probed.outcome, measurements=(*probed.outcome.measurements, fast))
    assert study.best(both) == fast
    assert study.fits(replace(probed, outcome=both))


def test_a_screened_member_has_one_reading_for_each_variant() -> None:
    reading = sample_measurement(50_000.0)
    with pytest.raises(ValueError, match="must have a reading, and one for each variant; got none"):
        Screened(cost=COST, measurements=())
    with pytest.raises(ValueError, match="got openvino/fp32, openvino/fp32"):
        Screened(cost=COST, measurements=(reading, reading))


@pytest.mark.parametrize("accuracy", [math.nan, -0.1, 100.1])
def test_an_accuracy_that_is_no_percentage_is_refused(accuracy: float) -> None:
    digest = sample_digest("any")
    with pytest.raises(ValueError, match="accuracy must be 0 to 100 %"):
        Lesson(accuracy=accuracy, loss=1.0, checkpoint=digest, seconds=1.0)
    with pytest.raises(ValueError, match="accuracy must be 0 to 100 %"):
        Grade(accuracy=accuracy, measurement=sample_measurement(1e5), float_graph=digest, graph=digest, engine=digest)


def test_a_study_of_two_targets_is_looked_at_one_goal_at_a_time() -> None:
    study = sample_study_of_two()
    first, second = study.of(0), study.of(1)
    assert (first.goal.target, second.goal.target, second.number) == ("host", "pi", 1)
    assert len(study.probes) == len(first.probes) + len(second.probes)
    searched = tuple(taught for taught in study.teachings if not taught.final)
    for view in (first, second):
        assert view.reference is not None
        assert view.shipped is not None
        assert tuple(taught for taught in view.teachings if not taught.final) == searched
        assert {taught.goal for taught in view.teachings if taught.final} == {view.number}
        assert (view.ends_s, view.elapsed_s) == (study.ends_s, study.elapsed_s)


def test_a_study_of_one_target_is_its_own_view() -> None:
    study = sample_study()
    assert study.of(0) is study


def test_each_target_has_one_goal() -> None:
    config = sample_config()
    for goals, said in (((), "got none"), ((*config.goals, *config.goals), "got host, host")):
        with pytest.raises(ValueError, match=rf"a study must have a goal, and one for each target; {said}"):
            replace(config, goals=goals)


@pytest.mark.parametrize(
    ("screened_ns", "final_ns", "bounds_ns"),
    [(500_000, 400_000, {"screen": 100_000, "final": 100_000}), (400_000, 500_000, {"screen": 100_000, "final": 125_000})],
    ids=["others slowed its screening down", "its last reading was slower"],
)
def test_a_screening_of_the_teacher_that_others_slowed_down_loosens_no_limit(screened_ns, final_ns, bounds_ns) -> None:
    readings = (sample_measurement(screened_ns, protocol="screen"), sample_measurement(final_ns, protocol="final"))
    study = fold([Opened(config=sample_config(), at_s=0.0), replace(sample_referenced(), measurements=readings)])
    for protocol, bound_ns in bounds_ns.items():
        latency, _ = study.slacks(sample_measurement(50_000, protocol=protocol))
        assert latency.bound == pytest.approx(bound_ns, rel=0.02)
