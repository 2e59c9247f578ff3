import dataclasses
import json

import pytest
from fakes.outcome import sample_outcome
from fakes.study import FP32, sample_config, sample_digest, sample_measurement
from rich.console import Console

from autokd_edge.core.events import Graded, Opened, Probed, Taught
from autokd_edge.core.pupil import Cost, Failed, Grade, Lesson, Pupil, Screened
from autokd_edge.core.study import advance, fold
from autokd_edge.report import sections
from autokd_edge.report.family import family_of, rows, spread, summary, told
from autokd_edge.report.outcome import Outcome
from autokd_edge.report.summary import summarise
from autokd_edge.report.table import report_tables


@pytest.fixture
def outcome() -> Outcome:
    """The sample with three more members of the best family: two taught, the last one in vain; one was too slow."""
    sample = sample_outcome()
    study, best = sample.study, sample.best
    clock = study.elapsed_s
    for index, (median_ns, accuracy) in enumerate([(210_000.0, 93.0), (190_000.0, None), (9_000_000.0, None)], start=1):
        member = dataclasses.replace(best.pupil.member, index=index)
        screened = Screened(cost=Cost(parameters=1, macs=1, activation_bytes=1), measurements=(sample_measurement(median_ns),))
        study = advance(study, Probed(member=member, outcome=screened, at_s=clock))
        if index == 3:
            continue
        pupil = Pupil(member=member, distillation=best.pupil.distillation)
        lesson = Failed(stage="teach", error="TeachError", message="not finite", retryable=False)
        if accuracy is not None:
            lesson = Lesson(accuracy=accuracy, loss=0.5, checkpoint=sample_digest("c"), seconds=80.0)
        study = advance(study, Taught(pupil=pupil, steps=1_800, final=True, outcome=lesson, at_s=clock))
        if accuracy is not None:
            reading = sample_measurement(median_ns, protocol="final")
            digests = dict.fromkeys(("float_graph", "graph", "engine"), sample_digest("e"))
            study = advance(
                study, Graded(pupil=pupil, variant=FP32, outcome=Grade(accuracy=92.9, measurement=reading, **digests), at_s=clock)
            )
    return dataclasses.replace(sample, study=study)


def test_the_family_of_the_best_engine_has_its_members_their_mean_and_spread(outcome):
    found = family_of(outcome.study, outcome.best)
    assert (found.probed, found.failed, found.steps) == (4, 1, 1_800)
    assert found.fitting == 3
    assert [member.index for member in found.members] == [0, 1]
    first = found.members[0].accuracy
    assert found.accuracy.mean == pytest.approx((first + 93.0) / 2)
    assert found.accuracy.deviation == pytest.approx(abs(first - 93.0) / 2**0.5)
    assert (found.accuracy.least, found.accuracy.most) == (min(first, 93.0), max(first, 93.0))
    assert found.latency_ns.count == 4


def test_a_members_engine_is_its_most_accurate_one_that_keeps_all_limits(outcome):
    found = family_of(outcome.study, outcome.best)
    graded = [g for g in outcome.study.grades if g.pupil.member.index == 0]
    assert found.members[0].engine == max(graded, key=lambda g: g.outcome.accuracy)
    assert found.members[1].engine_accuracy == 92.9


def test_the_members_of_another_family_are_not_counted(outcome):
    other = outcome.study.teachings[0].pupil
    assert other.member.architecture != outcome.best.pupil.member.architecture
    final = Taught(pupil=other, steps=7, final=True, outcome=outcome.study.teachings[-2].outcome, at_s=outcome.study.elapsed_s)
    assert len(family_of(advance(outcome.study, final), outcome.best).members) == 2
    assert family_of(advance(outcome.study, final), None).steps == 7  # without a best engine it is the last one


def test_where_no_finalist_keeps_the_limits_the_family_is_that_of_a_student_of_the_search(outcome):
    short = next(t for t in outcome.study.teachings if not t.final)
    taught = tuple(dataclasses.replace(t, final=t is short) for t in outcome.study.teachings if not t.final)
    broken = dataclasses.replace(outcome.study, teachings=taught)
    assert outcome.best.pupil != short.pupil
    found = family_of(broken, outcome.best)
    assert not found.in_full
    assert "1 taught by the search alone for 300 steps" in told(found)
    assert [member.index for member in found.members] == [0]
    assert not summary(found)["taught_in_full"]
    changed = dataclasses.replace(outcome, study=broken)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(report_tables((changed,)))
    for text in (capture.get(), sections.probes(changed)):
        assert "by the search alone" in text


def test_one_value_has_no_deviation_and_none_no_spread():
    assert spread([]) is None
    assert spread([3.0]).deviation is None


def test_the_table_the_page_and_the_json_tell_of_the_family(outcome):
    found = family_of(outcome.study, outcome.best)
    assert told(found) == (
        "4 members probed, 3 keep the device limits, 3 taught in full for 1,800 steps, 1 of them in vain; latencies replayed"
    )
    assert [row[0] for row in rows(found)] == ["0", "1", "mean and standard deviation"]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(report_tables((outcome,)))
    mean = f"{found.accuracy.mean:.2f} %"
    for text in (capture.get(), sections.family(outcome).replace("\N{NO-BREAK SPACE}", " ")):
        assert mean in text
        assert "4 members probed" in text
    told_in_json = summarise((outcome,))["family_members"]
    assert told_in_json == json.loads(json.dumps(summary(found)))
    assert told_in_json["accuracy_validation_percent"]["mean"] == found.accuracy.mean
    assert [member["index"] for member in told_in_json["members"]] == [0, 1]


def test_a_study_without_finalists_has_no_family_and_one_member_needs_no_table():
    study = fold((Opened(config=sample_config(), at_s=0.0),))
    assert family_of(study, None) is None
    assert summary(None) is None
    assert sections.family(Outcome(name="new", study=study, best=None)) == ""
    assert sections.family(sample_outcome()) == ""
