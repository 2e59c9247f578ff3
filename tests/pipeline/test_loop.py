import dataclasses
import shutil

import pytest
from pipeline.world import (
    FP32,
    INT8,
    CountingBuilder,
    FailingQuantizer,
    FakeDistiller,
    FakeFamily,
    FakeJournal,
    FakeQuantizer,
    FlakyBoard,
    Killed,
    OptimisticBoard,
    World,
    config,
    config_of_two,
    outcomes,
    timeless,
)

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.events import Confirm, Confirmed, Graded, GradeEngine, Opened, Probe, Probed, Referenced, Stop, Taught, Teach
from autokd_edge.core.limits import Budget, Limits
from autokd_edge.core.pupil import Failed, Grade, Lesson, Member, Pupil, Recalled, Screened
from autokd_edge.core.space import Point
from autokd_edge.core.study import fold
from autokd_edge.core.variants import comparison
from autokd_edge.errors import MeasureError, QuantizeError, StoreError
from autokd_edge.pipeline.loop import steps_taught
from autokd_edge.search.confirmations import refused
from autokd_edge.search.verdicts import best_grade

OTHER = digest_of_bytes(b"other")
TIGHT = 0.7  # times the teacher: most candidates break it in fp32


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that nothing disturbed: its world and its events."""
    world, journal = World(folder=tmp_path_factory.mktemp("whole")), FakeJournal()
    study, stop = world.loop(journal).run(config())
    assert "keeps all limits" in stop.reason
    assert study == fold(journal.events)
    return world, journal.events


def test_a_study_goes_from_the_teacher_over_probes_and_teachings_to_graded_engines(whole):
    _, events = whole
    kinds = [type(event) for event in events]
    assert kinds[:2] == [Opened, Referenced]
    assert kinds[2:6] == [Probed] * 4  # the pool
    assert kinds[6] is Taught
    assert kinds[-8:] == [Confirmed, Taught, Graded, Graded] * 2
    assert [event.final for event in events if isinstance(event, Taught)] == [False, False, True, True]
    assert [event.variant for event in events if isinstance(event, Graded)] == [FP32, INT8] * 2
    assert not [outcome for outcome in outcomes(fold(events)) if isinstance(outcome, Failed)]


def test_the_clock_of_events_never_goes_back(whole):
    _, events = whole
    clock = [event.at_s for event in events]
    assert clock == sorted(clock)
    assert clock[0] >= 0


def test_the_teacher_is_read_once_by_each_protocol(whole):
    _, events = whole
    assert [m.protocol for m in events[1].measurements] == ["screen", "final"]
    assert events[1].cost.parameters > 0


def test_the_test_set_is_not_asked_for(whole):
    world, _ = whole
    assert set(world.images.asked) == {"validation", "calibration"}


def test_an_equal_study_elsewhere_has_equal_events(whole, tmp_path):
    journal = FakeJournal()
    World(folder=tmp_path).loop(journal).run(config())
    assert timeless(journal.events) == timeless(whole[1])


EVENTS = 19  # of the whole study; checked by the test below


def test_the_whole_study_has_the_number_of_events_that_the_next_test_is_cut_at(whole):
    assert len(whole[1]) == EVENTS


def readings_of(event) -> int:
    """Count the readings that an event was made of: they are taken again where it was not written."""
    match event:
        case Referenced():
            return len(event.measurements)
        case Probed(outcome=Screened() as screened):
            return len(screened.measurements)
        case Graded() | Confirmed():
            return 1
        case _:
            return 0


@pytest.mark.parametrize("after", [False, True], ids=["before it was written", "after it was written"])
@pytest.mark.parametrize("event", range(EVENTS))
def test_a_study_killed_at_any_event_goes_on_to_the_same_end_and_nothing_finished_is_done_again(whole, tmp_path, event, after):
    undisturbed, events = whole
    first, journal = World(folder=tmp_path), FakeJournal(dies_at=event, after=after)
    with pytest.raises(Killed):
        first.loop(journal).run(config())
    second = World(folder=tmp_path)
    rest = FakeJournal(journal.events)
    study, stop = second.loop(rest).run(config())
    assert timeless(rest.events) == timeless(events)
    assert isinstance(stop, Stop)
    assert study == fold(rest.events)
    assert first.builder.built + second.builder.built == undisturbed.builder.built
    assert first.distiller.taught + second.distiller.taught == undisturbed.distiller.taught
    lost = 0 if after else readings_of(events[event])
    assert first.board.measured + second.board.measured == undisturbed.board.measured + lost


def test_a_finished_study_does_nothing_more(whole, tmp_path):
    shutil.copytree(whole[0].folder, tmp_path / "copy")
    world, journal = World(folder=tmp_path / "copy"), FakeJournal(list(whole[1]))
    _, stop = world.loop(journal).run(config())
    assert len(journal.events) == EVENTS
    assert (world.builder.built, world.board.measured, world.distiller.taught) == (0, 0, 0)
    assert "keeps all limits" in stop.reason


def test_seconds_of_work_go_on_from_the_run_before_and_pauses_do_not_count(tmp_path):
    journal = FakeJournal(dies_at=5)
    with pytest.raises(Killed):
        World(folder=tmp_path).loop(journal).run(config())
    before = [dataclasses.replace(event, at_s=event.at_s + 1000.0) for event in journal.events]
    again = FakeJournal(before)
    World(folder=tmp_path).loop(again).run(config())
    assert 1000 < again.events[-1].at_s < 1100


@pytest.mark.parametrize(
    ("broken", "stage", "error"),
    [
        ({"family": FakeFamily(unlowerable_one_in=2)}, "lower", "LoweringError"),
        ({"builder": CountingBuilder(refuses_every=3)}, "build", "BuildError"),
        ({"board": FlakyBoard(measures=False)}, "measure", "MeasureError"),
        ({"distiller": FakeDistiller(failing=True)}, "teach", "TeachError"),
        ({"quantizer": FailingQuantizer()}, "quantize", "QuantizeError"),
        ({"board": FlakyBoard(infers=False)}, "grade", "GradeError"),
    ],
    ids=["lower", "build", "measure", "teach", "quantize", "grade"],
)
def test_a_failing_stage_is_an_outcome_of_its_name_and_the_study_goes_on_to_its_end(tmp_path, broken, stage, error):
    journal = FakeJournal()
    study, stop = World(folder=tmp_path, **broken).loop(journal).run(config())
    failures = [outcome for outcome in outcomes(study) if isinstance(outcome, Failed)]
    assert {(failed.stage, failed.error) for failed in failures} == {(stage, error)}
    assert all(failed.message for failed in failures)
    assert isinstance(stop, Stop)
    assert stop.reason


def test_candidates_after_a_failed_one_are_still_probed_taught_and_graded(tmp_path):
    study, _ = World(folder=tmp_path, family=FakeFamily(unlowerable_one_in=2)).loop(FakeJournal()).run(config())
    kinds = [type(outcome) for outcome in outcomes(study)]
    assert kinds.index(Failed) < max(i for i, kind in enumerate(kinds) if kind is Screened)
    assert Lesson in kinds
    assert Grade in kinds


def test_a_quantiser_that_fails_on_every_candidate_leaves_the_float_engine(tmp_path):
    study, stop = World(folder=tmp_path, quantizer=FailingQuantizer()).loop(FakeJournal()).run(config(times_teacher=TIGHT))
    assert comparison(study, INT8).skipped
    assert [(graded.variant, type(graded.outcome)) for graded in study.grades] == [(FP32, Grade)] * 2
    assert "keeps all limits" in stop.reason


def test_a_quantiser_that_fails_on_the_taught_network_leaves_the_float_engine(tmp_path):
    class FakeQuantizerOfNoise(FakeQuantizer):
        def quantize(self, graph, samples, *, variant, target, out, keep=()):
            if samples.name.startswith("calibration"):
                raise QuantizeError("the fake quantiser refuses this graph")
            return super().quantize(graph, samples, variant=variant, target=target, out=out, keep=keep)

    study, stop = World(folder=tmp_path, quantizer=FakeQuantizerOfNoise()).loop(FakeJournal()).run(config())
    assert [type(graded.outcome) for graded in study.grades] == [Grade, Failed] * 2
    assert "keeps all limits" in stop.reason


def test_whether_a_failure_may_be_retried_is_kept(tmp_path):
    study, _ = World(folder=tmp_path, board=FlakyBoard(measures=False)).loop(FakeJournal()).run(config())
    assert {probed.outcome.retryable for probed in study.probes} == {True}


def test_a_teacher_that_cannot_be_read_ends_the_study_with_its_error(tmp_path):
    class NoBoard(FlakyBoard):
        def measure(self, engine, *, variant, target, protocol):  # noqa: ARG002  the port's signature
            raise MeasureError("the fake device does not answer")

    journal = FakeJournal()
    with pytest.raises(MeasureError, match="does not answer"):
        World(folder=tmp_path, board=NoBoard()).loop(journal).run(config())
    assert [type(event) for event in journal.events] == [Opened]


def test_an_error_that_is_no_candidates_fault_ends_the_run(tmp_path):
    class FullDistiller(FakeDistiller):
        def teach(self, spec, distillation, *, steps, seed, out, until=None):  # noqa: ARG002  the port's signature
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="disk is full"):
        World(folder=tmp_path, distiller=FullDistiller()).loop(FakeJournal()).run(config())


def test_a_study_in_which_nothing_fits_stops_and_says_why(tmp_path):
    study, stop = World(folder=tmp_path).loop(FakeJournal()).run(config(times_teacher=0.01))
    assert not study.teachings
    assert "no candidate fits after 12 probes" in stop.reason
    assert "latency" in stop.reason


GOAL_CHANGES = {
    "target": "another",
    "target_digest": OTHER,
    "limits": Limits(latency=None, memory=None, max_drop=1.0),
    "device": "ssh://board",
    "pareto": ("latency",),
}
NOWHERE = Point(values=())
CHANGES = {
    "data": "another",
    "data_digest": OTHER,
    "teacher": "another",
    "teacher_digest": OTHER,
    "family": "another",
    "policy": "another",
    "budget": Budget(seconds=60.0, teachings=None),
    "search_steps": 11,
    "final_steps": None,
    "final_members": 1,
    "seed": 1,
    "protocols": {"screen": OTHER},
    "loss": "dkd",
    "rungs": 2,
    "eta": 2,
    "workers": 2,
    "qat_steps": 100,
    "spaces_digest": OTHER,
    "starts": (Point(values=(("tau", 4.0),)),),
    "recalled": (
        Recalled(pupil=Pupil(member=Member(architecture=Point(values=()), index=0), distillation=Point(values=())), accuracy=90.0),
    ),
}


@pytest.mark.parametrize("field", [*CHANGES, *GOAL_CHANGES])
def test_another_configuration_of_the_same_name_is_refused_by_the_field_that_differs(tmp_path, field):
    journal, known = FakeJournal([Opened(config=config(), at_s=0.0)]), config()
    changed = (
        {field: CHANGES[field]} if field in CHANGES else {"goals": (dataclasses.replace(known.goals[0], **{field: GOAL_CHANGES[field]}),)}
    )
    with pytest.raises(StoreError, match=rf"study 'study' must go on .*; {field} was .*, now it is .*Hint: --study ANOTHER-NAME"):
        World(folder=tmp_path).loop(journal).run(dataclasses.replace(known, **changed))
    assert len(journal.events) == 1


def test_every_field_of_the_configuration_is_compared():
    assert {"goals", *CHANGES} == {field.name for field in dataclasses.fields(config())}
    assert set(GOAL_CHANGES) == {field.name for field in dataclasses.fields(config().goals[0])}


def test_other_targets_of_the_same_study_are_refused(tmp_path):
    journal, known = FakeJournal([Opened(config=config(), at_s=0.0)]), config()
    two = dataclasses.replace(known, goals=(*known.goals, dataclasses.replace(known.goals[0], target="pi")))
    with pytest.raises(StoreError, match="targets was fake-board, now it is fake-board, pi"):
        World(folder=tmp_path).loop(journal).run(two)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A study for two targets that nothing disturbed: its world and its events."""
    world, journal = World(folder=tmp_path_factory.mktemp("two")), FakeJournal()
    world.loop_of_two(journal).run(config_of_two())
    return world, journal.events


def test_two_targets_share_teachings_and_have_readings_grades_and_a_teacher_of_their_own(two):
    world, events = two
    study = fold(events)
    for number, name in enumerate(("fake-board", "second-board")):
        view = study.of(number)
        assert view.reference.goal == number
        readings = [p.outcome.measurements[0].target for p in view.probes if isinstance(p.outcome, Screened)]
        assert set(readings) == {name}
        assert {graded.outcome.measurement.target for graded in view.grades} == {name}
    taught = {(taught.pupil, taught.steps) for taught in study.teachings}
    assert world.distiller.taught == len(taught)


@pytest.fixture(scope="module")
def optimistic(tmp_path_factory):
    """A study whose board reads by the screening protocol a quarter of what it reads by the final one: its world and its events."""
    world, journal = World(folder=tmp_path_factory.mktemp("optimistic"), board=OptimisticBoard()), FakeJournal()
    world.loop(journal).run(OPTIMISTIC)
    return world, journal.events


OPTIMISTIC = config(teachings=4, times_teacher=0.43)


def test_no_long_teaching_is_spent_on_what_an_optimistic_screening_reading_let_through(optimistic):
    world, events = optimistic
    study = fold(events)
    broken = refused(study, (FP32, INT8))
    finals = [taught for taught in study.teachings if taught.final]
    assert broken
    assert finals
    assert not broken & {taught.pupil.member for taught in finals}
    assert best_grade(study) is not None
    assert world.distiller.taught == len(study.teachings)


def test_an_untrained_finalist_is_the_engine_that_was_probed_read_by_the_final_protocol(optimistic):
    study = fold(optimistic[1])
    probed = {p.member: p.outcome for p in study.probes}
    assert {confirmed.variant for confirmed in study.confirmations} == {FP32, INT8}
    for confirmed in study.confirmations:
        screened = probed[confirmed.member].reading(confirmed.variant)
        assert confirmed.outcome.protocol == "final"
        assert screened is None or (confirmed.outcome.engine == screened.engine and confirmed.outcome.median_ns > 3 * screened.median_ns)


def test_a_study_with_refused_finalists_killed_at_any_of_its_last_events_goes_on_to_the_same_end(optimistic, tmp_path):
    events = optimistic[1]
    first = next(i for i, event in enumerate(events) if isinstance(event, Confirmed))
    for cut in range(first, len(events), 3):
        folder, journal = tmp_path / str(cut), FakeJournal(dies_at=cut)
        killed = World(folder=folder, board=OptimisticBoard())
        with pytest.raises(Killed):
            killed.loop(journal).run(OPTIMISTIC)
        rest = FakeJournal(journal.events)
        World(folder=folder, board=OptimisticBoard(killed.board.teacher)).loop(rest).run(OPTIMISTIC)
        assert timeless(rest.events) == timeless(events)


@pytest.mark.parametrize("event", range(2, 27, 4))
def test_a_study_for_two_targets_killed_at_any_event_goes_on_to_the_same_end(two, tmp_path, event):
    journal = FakeJournal(dies_at=event)
    with pytest.raises(Killed):
        World(folder=tmp_path).loop_of_two(journal).run(config_of_two())
    rest = FakeJournal(journal.events)
    World(folder=tmp_path).loop_of_two(rest).run(config_of_two())
    assert timeless(rest.events) == timeless(two[1])


@pytest.fixture(scope="module")
def on_rungs(tmp_path_factory):
    """A study of three rungs that nothing disturbed: its world and its events."""
    world, journal = World(folder=tmp_path_factory.mktemp("rungs")), FakeJournal()
    world.loop(journal).run(ON_RUNGS)
    return world, journal.events


ON_RUNGS = dataclasses.replace(config(teachings=3), search_steps=18, rungs=3, eta=3)


def test_a_study_on_rungs_teaches_on_and_ships_what_was_taught_to_its_end(on_rungs):
    world, events = on_rungs
    taught = [event for event in events if isinstance(event, Taught) and not event.final]
    assert {(event.steps, event.of_steps) for event in taught} == {(2, 18), (6, 18), (18, None)}
    assert all((event.outcome.checkpoint is None) == (event.of_steps is not None) for event in taught)
    assert world.distiller.taught == sum(isinstance(event, Taught) for event in events)
    assert best_grade(fold(events)) is not None


@pytest.mark.parametrize("event", range(6, 24, 3))
def test_a_study_on_rungs_killed_at_any_event_goes_on_to_the_same_end(on_rungs, tmp_path, event):
    journal = FakeJournal(dies_at=event)
    with pytest.raises(Killed):
        World(folder=tmp_path).loop(journal).run(ON_RUNGS)
    rest = FakeJournal(journal.events)
    World(folder=tmp_path).loop(rest).run(ON_RUNGS)
    assert timeless(rest.events) == timeless(on_rungs[1])


class FakePolicy:
    """Asks once for a batch that has no time, then stops."""

    def __init__(self, batch):
        self._batch = batch

    def next(self, study):
        return Stop(reason="enough") if study.probes else Probe(members=self._batch, until_s=0.0)


def test_a_batch_ends_with_its_time_after_the_probe_that_was_begun(tmp_path, whole):
    batch = tuple(probed.member for probed in fold(whole[1]).probes[:3])
    journal = FakeJournal()
    dataclasses.replace(World(folder=tmp_path).loop(journal), policy=FakePolicy(batch)).run(config())
    assert [event.member for event in journal.events if isinstance(event, Probed)] == [batch[0]]


def test_who_watches_sees_every_step_before_it_is_taken(tmp_path):
    seen = []
    World(folder=tmp_path).loop(FakeJournal(), watch=lambda study, action: seen.append((len(study.probes), action))).run(config())
    assert seen[0] == (0, None)  # the teacher is read
    kinds = [type(action) for _, action in seen[1:]]
    assert kinds[-1] is Stop
    assert {Probe, Confirm, Teach, GradeEngine} <= set(kinds)
    assert [count for count, action in seen if isinstance(action, Probe)][:5] == [0, 0, 1, 2, 2]


def test_the_steps_of_a_pupil_are_those_of_its_last_teaching(whole):
    study = fold(whole[1])
    final = study.teachings[-1]
    assert steps_taught(study, final.pupil) == final.steps == 30
    assert steps_taught(study, study.teachings[0].pupil) in {10, 30}
