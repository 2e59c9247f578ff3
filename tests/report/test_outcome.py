import dataclasses

from fakes.outcome import infeasible_outcome, sample_outcome
from fakes.study import sample_config, sample_events, sample_pupil, sample_study
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd_edge.core.events import Opened
from autokd_edge.core.pupil import Failed, Grade, Screened
from autokd_edge.core.study import fold
from autokd_edge.report.outcome import (
    Outcome,
    broken,
    cost_of,
    engine_name,
    front,
    grades,
    lessons,
    reading_of,
    refusals,
    untrained_median_ns,
    why_refused,
)


def test_the_teacher_is_read_by_the_protocol_of_the_best_engine() -> None:
    outcome = sample_outcome()
    assert outcome.grade is not None
    assert outcome.teacher_reading is not None
    assert outcome.teacher_reading.protocol == outcome.grade.measurement.protocol == "final"


def test_a_study_that_has_only_begun_has_no_reading() -> None:
    outcome = Outcome(name="new", study=fold((Opened(config=sample_config(), at_s=0.0),)), best=None)
    assert outcome.teacher_reading is None
    assert outcome.grade is None
    assert outcome.student_cost is None


def test_accuracies_are_found_by_network_and_split() -> None:
    outcome = sample_outcome()
    found = outcome.accuracy("student engine", "test")
    assert found is not None
    assert found.percent == 92.6
    assert outcome.accuracy("student engine", "training") is None


def test_the_cost_and_the_reading_of_a_member_are_those_of_its_probe() -> None:
    study = sample_study()
    probed = study.probes[0]
    assert isinstance(probed.outcome, Screened)
    assert cost_of(study, probed.member) == probed.outcome.cost
    assert reading_of(study, probed.member) == probed.outcome.measurements[0]
    unknown = dataclasses.replace(probed.member, index=99)
    assert cost_of(study, unknown) is None
    assert reading_of(study, unknown) is None


def test_an_untrained_reading_stands_beside_a_taught_one_of_the_same_variant_only() -> None:
    study = sample_study()
    float_engine, quantised = study.grades
    reading = reading_of(study, float_engine.pupil.member)
    assert reading is not None
    assert untrained_median_ns(study, float_engine) == reading.median_ns
    assert untrained_median_ns(study, quantised) is None


def test_engines_are_told_apart_by_student_only_where_there_are_several() -> None:
    study = sample_study()
    assert [engine_name(study, graded) for graded in study.grades] == ["openvino/fp32", "openvino/int8"]
    other = dataclasses.replace(study.grades[0], pupil=sample_pupil(1))
    study = dataclasses.replace(study, grades=(*study.grades, other))
    assert [engine_name(study, graded) for graded in study.grades] == [
        "student 1, openvino/fp32",
        "student 1, openvino/int8",
        "student 2, openvino/fp32",
    ]


def test_every_refusal_is_counted_once_under_its_reason() -> None:
    study = infeasible_outcome().study
    found = {(r.stage, r.reason): r for r in refusals(study)}
    failed = [p for p in study.probes if isinstance(p.outcome, Failed)]
    assert found["build", "BuildError"].count == len(failed) == 3
    assert "no kernel for this shape" in found["build", "BuildError"].example
    assert found["probe", "latency above the limit"].count == len(study.probes) - len(failed)
    assert found["grade", "latency above the limit"].count == 2
    assert found["teach", "TeachError"].count == 1


def test_refusals_come_by_falling_count() -> None:
    counts = [r.count for r in refusals(sample_study())]
    assert counts == sorted(counts, reverse=True)


def test_a_member_that_fits_is_refused_for_nothing() -> None:
    study = sample_study()
    for probed in study.probes:
        if isinstance(probed.outcome, Screened):
            assert bool(why_refused(study, probed)) != study.fits(probed)
            assert why_refused(study, probed) == broken(study.slacks(study.best(probed.outcome)))


def test_failed_teachings_and_grades_are_left_out() -> None:
    events = sample_events()
    study = fold(events)
    broken_grade = dataclasses.replace(study.grades[0], outcome=Failed(stage="grade", error="MeasureError", message="void", retryable=True))
    study = dataclasses.replace(study, grades=(*study.grades, broken_grade))
    assert len(lessons(study)) == len(study.teachings) - 1
    assert len(grades(study)) == 2
    assert all(isinstance(grade, Grade) for _, grade in grades(study))
    assert ("grade", "MeasureError", 1) in {(r.stage, r.reason, r.count) for r in refusals(study)}


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), max_size=30))
@settings(deadline=None)  # a busy machine is no defect
def test_the_front_is_what_no_other_point_beats(points: list[tuple[float, float]]) -> None:
    def beaten(a: tuple[float, float]) -> bool:
        return any(b[0] <= a[0] and b[1] >= a[1] and b != a for b in points)

    assert set(front(points)) == {p for p in points if not beaten(p)}
    assert list(front(points)) == sorted(front(points))
