import dataclasses

import numpy as np
import pytest
from fakes.backend import FakeBoard, FakeBuilder, FakeQuantizer
from pipeline.world import (
    FP32,
    INT8,
    PROTOCOLS,
    TASK,
    TEACHER,
    CountingBuilder,
    FailingQuantizer,
    FakeDistiller,
    FakeFamily,
    FakeFineTuner,
    FakeLabelledImages,
    Killed,
    World,
    begun,
    pupil,
)

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.events import Probed
from autokd_edge.core.limits import MemoryLimit
from autokd_edge.core.measure import Sentinel
from autokd_edge.core.pupil import Failed, Grade, Lesson, Screened
from autokd_edge.core.study import advance
from autokd_edge.core.target import Variant
from autokd_edge.errors import AbsentCompilerError, StoreError, TeachError
from autokd_edge.pipeline.evaluate import MOST_LAYERS
from autokd_edge.ports import Backend
from autokd_edge.students.cost import cost_of
from autokd_edge.students.families.resnet import resnet_spec

PUPIL = pupil()
OTHER = Variant(backend="other", precision="fp32")
TIGHT = 0.5  # times the teacher: the pupil needs 0.7 in fp32 and 0.42 in int8


@pytest.fixture
def world(tmp_path):
    return World(folder=tmp_path)


def test_a_probe_measures_the_untrained_member_by_the_screening_protocol(world):
    found = world.evaluator.probe(PUPIL.member, begun(world))
    assert isinstance(found, Screened)
    assert [(m.protocol, m.variant) for m in found.measurements] == [("screen", FP32)]
    assert found.cost == cost_of(world.evaluator.spec(PUPIL.member))
    assert world.distiller.taught == 0


def test_a_network_of_too_many_layers_is_refused_before_anything_is_built(world):
    class FakeDeepFamily(FakeFamily):  # 7 layers a block
        def spec(self, architecture, task, index):  # noqa: ARG002  the port's signature
            return resnet_spec(task.image, task.classes, (2,), MOST_LAYERS // 7 + 1, stem=2, seed=0)

    probed = dataclasses.replace(world.evaluator, family=FakeDeepFamily()).probe(PUPIL.member, begun(world))
    assert isinstance(probed, Failed)
    assert (probed.stage, probed.error, probed.retryable) == ("lower", "LoweringError", False)
    assert f"at most {MOST_LAYERS} layers" in probed.message


def test_a_candidate_that_breaks_the_limit_is_read_in_the_next_variant_too(world):
    found = world.evaluator.probe(PUPIL.member, begun(world, times_teacher=TIGHT))
    assert [(m.protocol, m.variant) for m in found.measurements] == [("screen", FP32), ("screen", INT8)]


def test_a_probe_reads_no_images(world):
    study = begun(world, times_teacher=TIGHT)
    world.images.asked.clear()
    world.evaluator.probe(PUPIL.member, study)
    assert world.images.asked == []


def test_a_variant_that_fails_on_a_candidate_leaves_the_others_readings(tmp_path):
    world = World(folder=tmp_path, quantizer=FailingQuantizer())
    found = world.evaluator.probe(PUPIL.member, begun(world, times_teacher=TIGHT))
    assert [m.variant for m in found.measurements] == [FP32]
    (unread,) = found.unread
    assert (unread.variant, unread.failure.stage, unread.failure.error) == (INT8, "quantize", "QuantizeError")


def test_a_candidate_that_the_first_variant_cannot_build_is_a_failure(tmp_path):
    world = World(folder=tmp_path, builder=CountingBuilder(refuses_every=2))
    failed = world.evaluator.probe(PUPIL.member, begun(world))
    assert (failed.stage, failed.error) == ("build", "BuildError")


def test_a_lesson_keeps_its_weights_in_the_store(world):
    lesson = world.evaluator.teach(PUPIL, 10)
    assert isinstance(lesson, Lesson)
    graph = world.evaluator.float_graph(PUPIL, 10)
    assert world.stages.store.path(graph).stat().st_size > 0
    assert lesson.checkpoint in {path.name for path in (world.folder / "artifacts" / "objects").iterdir()}


def test_a_kill_between_the_lesson_and_its_event_loses_no_teaching(world):
    before = world.evaluator.teach(PUPIL, 10)
    again = World(folder=world.folder)
    assert again.evaluator.teach(PUPIL, 10) == before
    assert (world.distiller.taught, again.distiller.taught) == (1, 0)


def test_a_kill_between_the_weights_and_the_store_loses_no_teaching(tmp_path):
    class DyingDistiller(FakeDistiller):
        def teach(self, spec, distillation, *, steps, seed, out, until=None):
            super().teach(spec, distillation, steps=steps, seed=seed, out=out, until=until)
            raise Killed

    first = World(folder=tmp_path, distiller=DyingDistiller())
    with pytest.raises(Killed):
        first.evaluator.teach(PUPIL, 10)
    second = World(folder=tmp_path)
    assert isinstance(second.evaluator.teach(PUPIL, 10), Lesson)
    assert (first.distiller.taught, second.distiller.taught) == (1, 0)
    assert isinstance(second.evaluator.grade(PUPIL, 10, FP32, begun(second)), Grade)


def test_the_seconds_of_a_lesson_are_those_that_the_distiller_says(world):
    world.evaluator.teach(PUPIL, 10)
    lesson = World(folder=world.folder).evaluator.teach(PUPIL, 10)
    assert lesson.seconds == 0.25  # though it was only looked up: the pace of teaching is read from it


CHANGES = {
    "architecture": {"pupil": pupil(width=9)},
    "member": {"pupil": pupil(index=1)},
    "distillation": {"pupil": dataclasses.replace(PUPIL, distillation=FakeDistiller.space.at([0.1, 0.5]))},
    "steps": {"steps": 11},
    "seed": {"seed": 1},
    "teacher": {"teacher_digest": digest_of_bytes(b"other")},
    "data": {"data_digest": digest_of_bytes(b"other")},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_everything_that_decides_a_lesson_makes_another_one(world, change):
    world.evaluator.teach(PUPIL, 10)
    asked = {"pupil": PUPIL, "steps": 10} | change
    pupil_asked, steps = asked.pop("pupil"), asked.pop("steps")
    dataclasses.replace(world.evaluator, **asked).teach(pupil_asked, steps)
    assert world.distiller.taught == 2


def test_a_lesson_knows_no_target(world):
    world.evaluator.teach(PUPIL, 10)
    other = dataclasses.replace(world.stages, target=dataclasses.replace(world.stages.target, name="other", threads=2))
    dataclasses.replace(world.evaluator, stages=other).teach(PUPIL, 10)
    assert world.distiller.taught == 1


def test_a_grade_measures_the_taught_engine_by_the_final_protocol_on_validation_images(world):
    world.evaluator.teach(PUPIL, 10)
    for variant in (FP32, INT8):
        grade = world.evaluator.grade(PUPIL, 10, variant, begun(world))
        assert isinstance(grade, Grade)
        assert (grade.measurement.protocol, grade.measurement.variant) == ("final", variant)
        assert grade.engine == grade.measurement.engine
        assert (grade.graph == grade.float_graph) == (variant == FP32)
    assert "test" not in world.images.asked


class DisturbedBoard(FakeBoard):
    """Reads the finals of students over the limit of ``TIGHT``, with the sentinels and flags that are next in turn; the last stays."""

    def __init__(self, *moments: tuple[float, int, tuple[str, ...]]) -> None:
        super().__init__()
        self.moments = list(moments)
        self.finals = 0

    def measure(self, engine, *, variant, target, protocol):
        plain = super().measure(engine, variant=variant, target=target, protocol=protocol)
        if protocol.name != "final" or not self.moments:
            return plain
        self.finals += 1
        slower, sentinel_ns, flags = self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]
        blocks = tuple(tuple(round(ns * slower) for ns in block) for block in plain.blocks_ns)
        return dataclasses.replace(plain, blocks_ns=blocks, sentinel=Sentinel(before_ns=50_000, after_ns=sentinel_ns), flags=flags)


NARROW = 0.7  # times the teacher: what the pupil needs in fp32, within a few percent


@pytest.mark.parametrize(
    ("moments", "taken", "stands_ns"),
    [
        ([(1.0, 50_000, ("noisy",))], 1, 50_000),  # keeps the limit: nothing hangs on it
        ([(1.2, 50_000, ("clocks-unlocked",))], 1, 50_000),  # breaks it undisturbed
        ([(2.0, 60_000, ("machine-slowed",))], 1, 60_000),  # breaks it by more than what is disturbed
        ([(1.2, 60_000, ("machine-slowed",)), (1.0, 51_000, ())], 2, 51_000),
        ([(1.2, 60_000, ("noisy",)), (1.2, 50_000, ())], 2, 50_000),  # an undisturbed one stands, whatever it says
        ([(1.2, 60_000, ("noisy",)), (1.2, 52_000, ("noisy",)), (1.15, 55_000, ("sentinel-drift",))], 3, 52_000),  # not the fastest
    ],
)
def test_a_disturbed_reading_of_a_taught_engine_that_breaks_the_limit_narrowly_is_taken_again(tmp_path, moments, taken, stands_ns):
    plain = World(folder=tmp_path)
    plain.evaluator.teach(PUPIL, 10)
    study = begun(plain, times_teacher=NARROW)
    needs = plain.evaluator.confirm(PUPIL.member, FP32).median_ns / study.reference.measurements[-1].median_ns
    study = begun(plain, times_teacher=1.05 * needs)
    board = DisturbedBoard(*moments)
    reading = World(folder=tmp_path, board=board).evaluator.grade(PUPIL, 10, FP32, study).measurement
    assert (board.finals, reading.sentinel.after_ns) == (taken, stands_ns)


def test_an_untrained_engine_is_read_once_however_disturbed(tmp_path):
    board = DisturbedBoard((1.2, 60_000, ("noisy",)))
    World(folder=tmp_path, board=board).evaluator.confirm(PUPIL.member, FP32)
    assert board.finals == 1


def test_a_memory_limit_that_is_broken_is_no_matter_of_disturbance(tmp_path):
    plain = World(folder=tmp_path)
    plain.evaluator.teach(PUPIL, 10)
    study = begun(plain, times_teacher=NARROW)
    limits = dataclasses.replace(study.goal.limits, memory=MemoryLimit(bound_bytes=1, times_teacher=None))
    goals = (dataclasses.replace(study.goal, limits=limits),)
    study = dataclasses.replace(study, config=dataclasses.replace(study.config, goals=goals))
    board = DisturbedBoard((1.2, 60_000, ("noisy",)))
    World(folder=tmp_path, board=board).evaluator.grade(PUPIL, 10, FP32, study)
    assert board.finals == 1


def test_an_untaught_pupil_cannot_be_graded(world):
    failed = world.evaluator.grade(PUPIL, 10, FP32, begun(world))
    assert isinstance(failed, Failed)
    assert "there is no checkpoint of 10 steps" in failed.message


def test_a_diverged_lesson_is_a_failure_and_leaves_nothing_in_the_store(tmp_path):
    world = World(folder=tmp_path, distiller=FakeDistiller(failing=True))
    failed = world.evaluator.teach(PUPIL, 10)
    assert failed == Failed(stage="teach", error="TeachError", message="the loss must be finite; it is nan at step 1", retryable=False)
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize("accuracy", [float("nan"), 101.0])
def test_an_accuracy_that_is_no_percentage_is_a_failed_teaching(tmp_path, accuracy):
    class OddDistiller(FakeDistiller):
        def teach(self, spec, distillation, *, steps, seed, out, until=None):
            return dataclasses.replace(super().teach(spec, distillation, steps=steps, seed=seed, out=out, until=until), accuracy=accuracy)

    failed = World(folder=tmp_path, distiller=OddDistiller()).evaluator.teach(PUPIL, 10)
    assert (failed.stage, failed.error) == ("teach", "TeachError")
    assert f"accuracy must be 0 to 100 %; got {accuracy}" in failed.message


def test_a_subclass_of_a_stage_error_counts_as_its_stage(tmp_path):
    class OutOfMemoryError(TeachError):
        pass

    class HungryDistiller(FakeDistiller):
        def teach(self, spec, distillation, *, steps, seed, out, until=None):  # noqa: ARG002  the port's signature
            raise OutOfMemoryError("too little memory", retryable=True)

    failed = World(folder=tmp_path, distiller=HungryDistiller()).evaluator.teach(PUPIL, 10)
    assert (failed.stage, failed.error, failed.retryable) == ("teach", "OutOfMemoryError", True)


def test_a_damaged_store_is_not_a_failure_of_a_candidate(world):
    world.evaluator.teach(PUPIL, 10)
    for path in (world.folder / "artifacts" / "objects").iterdir():
        path.chmod(0o644)
        path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(StoreError, match="is damaged"):
        world.evaluator.grade(PUPIL, 10, FP32, begun(world))


def test_the_reference_is_the_teachers_engine_by_every_protocol(world):
    read = world.evaluator.reference()
    assert read.cost == cost_of(TEACHER)
    assert [m.protocol for m in read.measurements] == list(PROTOCOLS)
    assert {m.engine for m in read.measurements} == {world.evaluator.teacher_engine(FP32).digest}
    assert world.images.asked == ["validation"]


def test_an_int8_engine_that_loses_too_much_is_tuned_by_the_pupils_own_distillation(tmp_path):
    world = World(folder=tmp_path, quantizer=FakeQuantizer(noise=1.0), fine_tuner=FakeFineTuner())
    world.evaluator.teach(PUPIL, 10)
    graph, path = world.evaluator.float_graph(PUPIL, 10), tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).standard_normal((200, *TASK.image), dtype=np.float32))
    answers = world.stages.logits(world.stages.engine(graph, FP32), FP32, path).argmax(axis=1)
    stages = dataclasses.replace(world.stages, images=FakeLabelledImages(path, answers))
    world.fine_tuner.original = stages.store.path(graph)
    study = begun(world)
    grade = world.evaluator_of(stages).grade(PUPIL, 10, INT8, study)
    assert grade.accuracy == 100 > grade.quantized.untuned_accuracy
    assert grade.quantized.tuning == world.fine_tuner.recipe(PUPIL.distillation)
    again = World(folder=tmp_path, fine_tuner=FakeFineTuner())
    assert again.evaluator_of(dataclasses.replace(again.stages, images=stages.images)).grade(PUPIL, 10, INT8, study).graph == grade.graph
    assert again.fine_tuner.tuned == 0  # found, not made anew


class AbsentBuilder(CountingBuilder):
    """Belongs to a backend whose compiler is not installed."""

    def build(self, graph, *, variant, target, out) -> None:  # noqa: ARG002  the port's signature
        self.built += 1
        raise AbsentCompilerError("backend 'other' needs gcc; it is not installed")


def beside(world, *, slowness=1.0, builder=None):
    """The stages of a world whose target has fp32 of another backend too."""
    other = Backend(name="other", builder=builder or FakeBuilder(), quantizer=FakeQuantizer(), board=FakeBoard(slowness=slowness))
    target = dataclasses.replace(world.stages.target, variants=(FP32, OTHER, INT8))
    return world.evaluator_of(dataclasses.replace(world.stages, target=target, backends={**world.stages.backends, "other": other}))


@pytest.mark.parametrize(("slowness", "variant"), [(0.5, OTHER), (0.8, FP32), (2.0, FP32)])
def test_the_teacher_is_read_in_the_fp32_of_another_backend_where_that_is_faster_by_more_than_30_percent(world, slowness, variant):
    evaluator = beside(world, slowness=slowness)
    read = evaluator.reference()
    assert [m.protocol for m in read.measurements] == list(PROTOCOLS)
    assert {(m.variant, m.engine) for m in read.measurements} == {(variant, evaluator.teacher_engine(variant).digest)}


def test_a_backend_without_its_compiler_is_left_out_and_the_others_are_read(world):
    builder = AbsentBuilder()
    evaluator = beside(world, builder=builder)
    assert {m.variant for m in evaluator.reference().measurements} == {FP32}
    screened = evaluator.probe(pupil().member, begun(world))
    assert [m.variant for m in screened.measurements] == [FP32]
    (unread,) = screened.unread
    assert (unread.variant, unread.failure.error) == (OTHER, "AbsentCompilerError")
    study = advance(begun(world), Probed(member=pupil().member, outcome=screened, at_s=2.0))
    assert evaluator.probe(pupil(index=1).member, study).unread == ()
    assert builder.built == 2  # by the teacher and by the first candidate


def test_candidates_are_read_first_where_the_screening_variant_lost(world):
    evaluator, study = beside(world, slowness=0.5), begun(world)
    for index in range(6):
        member = pupil(index=index).member
        study = advance(study, Probed(member=member, outcome=evaluator.probe(member, study), at_s=2.0 + index))
    assert [[m.variant for m in probed.outcome.measurements] for probed in study.probes] == [[FP32, OTHER]] * 5 + [[OTHER]]
