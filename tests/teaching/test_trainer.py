import dataclasses
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from contracts.distiller import DistillerContract
from fakes.small_disk import small_disk
from safetensors.torch import load_file
from teaching.small import POINT, FakeTeacher, small_source, small_student, small_teacher

from autokd_edge.core.space import Point
from autokd_edge.errors import StoreError, TeacherError, TeachError
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_torch import torch_from_spec
from autokd_edge.teaching.augment import Augmenter, AugmentPlan
from autokd_edge.teaching.batches import Batch
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.lesson import AVERAGED_FROM, PEAK_RATE, SAVE_EVERY, Lesson, rate
from autokd_edge.teaching.losses import LOSSES, CrossEntropy, Lessons, Outputs
from autokd_edge.teaching.teachers import load_teacher
from autokd_edge.teaching.trainer import KDDistiller, accuracy_of, check_loss

STEPS = SAVE_EVERY + 30
MANY_VARIANTS = AugmentPlan(shift=1, flip=False, cutout=0, variants=1_000)  # no logits are ever found in the cache


class TestKDDistiller(DistillerContract):
    @pytest.fixture(params=["convolutions", "separable convolutions"])
    def spec(self, request):
        return small_student(separable=request.param == "separable convolutions")

    @pytest.fixture
    def distiller(self, tmp_path_factory):
        return KDDistiller(small_source().teaching(), small_teacher(), seed=5, cache=tmp_path_factory.mktemp("one"))

    @pytest.fixture
    def another(self, tmp_path_factory):
        return KDDistiller(small_source().teaching(), small_teacher(), seed=5, cache=tmp_path_factory.mktemp("two"))


def distiller(cache: Path, teacher=None, *, seed=5, plan=None) -> KDDistiller:
    source = small_source() if plan is None else small_source(plan=plan)
    return KDDistiller(source.teaching(), teacher or small_teacher(), seed=seed, cache=cache)


def equal(a: Path, b: Path) -> bool:
    one, other = load_file(a), load_file(b)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """The weights of a lesson that nothing disturbed, by the fake teacher."""
    folder = tmp_path_factory.mktemp("whole")
    distiller(folder, FakeTeacher(), plan=MANY_VARIANTS).teach(small_student(), POINT, steps=STEPS, seed=7, out=folder / "w.safetensors")
    return folder / "w.safetensors"


@pytest.mark.parametrize("at", [1, SAVE_EVERY, SAVE_EVERY + 1, SAVE_EVERY + 20])
def test_an_interrupted_lesson_goes_on_to_the_weights_of_an_uninterrupted_one(uninterrupted, tmp_path, at):
    out = tmp_path / "w.safetensors"
    with pytest.raises(KeyboardInterrupt):
        distiller(tmp_path, FakeTeacher(stop_at_call=at), plan=MANY_VARIANTS).teach(small_student(), POINT, steps=STEPS, seed=7, out=out)
    assert not out.exists()
    teacher = FakeTeacher()
    distiller(tmp_path / "other cache", teacher, plan=MANY_VARIANTS).teach(small_student(), POINT, steps=STEPS, seed=7, out=out)
    assert equal(out, uninterrupted)
    taken_again = STEPS - SAVE_EVERY if at > SAVE_EVERY else STEPS
    assert teacher.calls == taken_again  # the steps before the saved one are not taken again


def test_the_seconds_of_an_interrupted_lesson_are_those_of_all_its_runs(uninterrupted, tmp_path):
    class SlowTeacher(FakeTeacher):
        def answer(self, images):
            if self.calls == 0:
                time.sleep(0.5)  # before the saved step: in the first run alone
            return super().answer(images)

    out = tmp_path / "w.safetensors"
    with pytest.raises(KeyboardInterrupt):
        distiller(tmp_path, SlowTeacher(stop_at_call=SAVE_EVERY + 5), plan=MANY_VARIANTS).teach(
            small_student(), POINT, steps=STEPS, seed=7, out=out
        )
    again = distiller(tmp_path, FakeTeacher(), plan=MANY_VARIANTS)
    began = time.monotonic()
    taught = again.teach(small_student(), POINT, steps=STEPS, seed=7, out=out)
    assert taught.seconds > time.monotonic() - began + 0.4
    assert again.teach(small_student(), POINT, steps=STEPS, seed=7, out=out) == taught
    assert equal(out, uninterrupted)


_TAUGHT_ALONE = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    import torch
    torch.set_num_threads(1)
    from teaching.small import POINT, FakeTeacher, small_student
    from teaching.test_trainer import MANY_VARIANTS, STEPS, distiller
    class SlowTeacher(FakeTeacher):
        def answer(self, images):
            if self.calls > STEPS - 20:
                print("late", flush=True)
                sys.stdin.readline()  # waits to be killed
            return super().answer(images)
    folder = Path(sys.argv[2])
    distiller(folder, SlowTeacher(), plan=MANY_VARIANTS).teach(small_student(), POINT, steps=STEPS, seed=7, out=folder / "w.safetensors")
"""


@pytest.mark.slow
def test_a_killed_lesson_goes_on_to_the_weights_of_an_uninterrupted_one(uninterrupted, tmp_path):
    argv = [sys.executable, "-c", textwrap.dedent(_TAUGHT_ALONE), str(Path(__file__).parents[1]), str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"late\n"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    out = tmp_path / "w.safetensors"
    assert not out.exists()
    teacher = FakeTeacher()
    distiller(tmp_path, teacher, plan=MANY_VARIANTS).teach(small_student(), POINT, steps=STEPS, seed=7, out=out)
    assert teacher.calls < STEPS - SAVE_EVERY  # and what the teacher said before the kill is still known
    assert equal(out, uninterrupted)


def test_another_seed_of_the_lesson_or_of_the_study_teaches_other_weights(uninterrupted, tmp_path):
    for name, study, lesson in (("a", 6, 7), ("b", 5, 8)):
        out = tmp_path / f"{name}.safetensors"
        taught_by = distiller(tmp_path / name, FakeTeacher(), seed=study, plan=MANY_VARIANTS)
        spec = small_student()
        if lesson != 7:
            spec = dataclasses.replace(spec, seed=99)
        taught_by.teach(spec, POINT, steps=20, seed=lesson, out=out)
        assert not equal(out, uninterrupted)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_a_teach_error_and_writes_no_weights(tmp_path, weight):
    with pytest.raises(TeachError, match=r"the loss must be finite; it is (nan|inf) at step 1 of 5"):
        distiller(tmp_path, small_teacher(weight=weight)).teach(small_student(), POINT, steps=5, seed=1, out=tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


def test_what_torch_cannot_compute_is_a_teach_error(tmp_path):
    spec = dataclasses.replace(small_student(), input=(2, 8, 8))  # reads two channels, the data has one
    with pytest.raises(TeachError, match="torch could not take step 1 of 5"):
        distiller(tmp_path).teach(spec, POINT, steps=5, seed=1, out=tmp_path / "w.safetensors")


def test_a_full_disk_ends_a_lesson_with_a_store_error(tmp_path):
    with small_disk(tmp_path / "disk", kibibytes=4) as disk, pytest.raises(StoreError, match="No space left"):
        distiller(tmp_path).teach(small_student(), POINT, steps=3, seed=1, out=disk / "w.safetensors")


def test_the_accuracy_is_the_share_of_right_answers_of_the_written_weights(tmp_path):
    data = small_source().teaching()
    taught = KDDistiller(data, small_teacher(), seed=5, cache=tmp_path).teach(
        small_student(), POINT, steps=40, seed=1, out=tmp_path / "w.safetensors"
    )
    network = torch_from_spec(small_student()).eval()
    network.load_arrays(load_file(tmp_path / "w.safetensors"))
    pixels = torch.from_numpy((data.validation.images / 255 - data.mean[0]) / data.std[0]).float()
    with torch.no_grad():
        right = network(pixels).argmax(1).numpy() == data.validation.labels
    assert taught.accuracy == 100 * right.mean()
    augment = Augmenter(data.augmentation, samples=len(data.train), seed=0, image=data.image, mean=data.mean, std=data.std)
    assert accuracy_of(network, data.validation, augment) == taught.accuracy


def test_a_student_of_the_labels_alone_learns_what_can_be_learnt(tmp_path):
    point = Point(values=(("tau", 1.0), ("alpha", 0.0)))
    taught = distiller(tmp_path).teach(small_student(), point, steps=150, seed=1, out=tmp_path / "w.safetensors")
    assert taught.accuracy > 70  # of three classes
    assert taught.loss < 0.8


def test_the_learning_rate_rises_to_its_peak_and_ends_near_nothing():
    rates = [rate(step, 100) for step in range(100)]
    assert max(rates) == PEAK_RATE == rates[24]
    assert rates[:25] == sorted(rates[:25])
    assert rates[24:] == sorted(rates[24:], reverse=True)
    assert rates[-1] < 0.01 * PEAK_RATE
    assert rate(0, 1) == PEAK_RATE


def test_weights_without_their_record_are_taught_again_to_the_same_weights(uninterrupted, tmp_path):
    out = tmp_path / "w.safetensors"
    out.write_bytes(uninterrupted.read_bytes())
    out.with_suffix(".json").write_text('{"accuracy": 1')
    taught = distiller(tmp_path, FakeTeacher(), plan=MANY_VARIANTS).teach(small_student(), POINT, steps=STEPS, seed=7, out=out)
    assert taught.seconds > 0
    assert equal(out, uninterrupted)


def test_the_saved_state_of_a_finished_lesson_is_gone(uninterrupted):
    assert [path.name for path in uninterrupted.parent.iterdir() if "partial" in path.name or "begun" in path.name] == []


@pytest.mark.slow
def test_a_student_of_the_digits_comes_near_its_real_teacher(tmp_path):
    data = data_source("digits").teaching()
    teacher = load_teacher("example:digits", data)
    spec = resnet_spec(data.image, 10, (8, 16), 1, stem=8, seed=3)
    taught = KDDistiller(data, teacher, seed=0, cache=tmp_path).teach(spec, POINT, steps=150, seed=0, out=tmp_path / "w.safetensors")
    assert taught.accuracy > 90


def test_a_loss_needs_what_the_teacher_can_give():
    with pytest.raises(TeacherError, match=r"loss must be one of kd, dkd, dist, ce, ls, at, sp, crd; got 'kdd'. Hint: --loss kd"):
        check_loss("kdd", small_teacher())
    with pytest.raises(TeacherError, match=r"loss 'dkd' needs a teacher; without one it must be one of ce, ls. Hint: --loss ls"):
        check_loss("dkd", None)
    with pytest.raises(TeacherError, match="loss 'at' compares features, which are read off a layer graph; 'small' is none"):
        check_loss("at", dataclasses.replace(small_teacher(), layers=None))
    check_loss("ls", None)
    check_loss("crd", small_teacher())


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_teaches_and_goes_on_where_it_was_stopped_to_the_same_weights(tmp_path, loss):
    data = small_source().teaching()
    teacher = None if not LOSSES[loss].needs_teacher else small_teacher()
    steps = SAVE_EVERY + 5
    point = LOSSES[loss].space.at([0.3] * len(LOSSES[loss].space))

    def new(name: str) -> KDDistiller:
        return KDDistiller(data, teacher, seed=5, cache=tmp_path / name, loss=loss)

    taught = new("a").teach(small_student(), point, steps=steps, seed=7, out=tmp_path / "whole.safetensors")
    assert math.isfinite(taught.loss)
    stopped = new("b")
    batches = stopped._batches

    class StoppingBatches:
        augment, epochs = batches.augment, batches.epochs

        def at(self, step: int, variants: int):
            if step == SAVE_EVERY + 2:
                raise KeyboardInterrupt
            return batches.at(step, variants)

    stopped._batches = StoppingBatches()
    with pytest.raises(KeyboardInterrupt):
        stopped.teach(small_student(), point, steps=steps, seed=7, out=tmp_path / "stopped.safetensors")
    new("c").teach(small_student(), point, steps=steps, seed=7, out=tmp_path / "stopped.safetensors")
    assert equal(tmp_path / "whole.safetensors", tmp_path / "stopped.safetensors")


def test_mixed_images_teach_too(tmp_path):
    plan = AugmentPlan(shift=0, flip=False, cutout=0, variants=2, mixup=0.3)
    taught = distiller(tmp_path, plan=plan).teach(small_student(), POINT, steps=5, seed=1, out=tmp_path / "w.safetensors")
    assert math.isfinite(taught.loss)


@pytest.mark.slow
def test_a_long_lesson_keeps_the_better_of_its_weights_and_their_average(tmp_path):
    data = small_source().teaching()
    point = Point(values=())
    teaching = KDDistiller(data, None, seed=5, cache=tmp_path, loss="ce")
    taught = teaching.teach(small_student(), point, steps=AVERAGED_FROM, seed=7, out=tmp_path / "w.safetensors")
    network = torch_from_spec(small_student())
    network.load_arrays(load_file(tmp_path / "w.safetensors"))
    augment = Augmenter(data.augmentation, samples=len(data.train), seed=0, image=data.image, mean=data.mean, std=data.std)
    assert accuracy_of(network, data.validation, augment) == taught.accuracy > 90


def test_the_average_follows_the_weights(tmp_path):
    lessons = Lessons(student_channels=(), teacher_channels=(), labels=torch.zeros(0), seed=0)
    lesson = Lesson(small_student(), AVERAGED_FROM, 1, tmp_path / "p", CrossEntropy(Point(values=()), lessons))
    seen = []
    for _ in range(3):
        batch = Batch(variant=0, index=torch.arange(8), images=torch.randn(8, 1, 8, 8), labels=torch.arange(8) % 3)
        lesson.take_step(batch, Outputs(logits=torch.empty(0)))
        seen.append([value.detach().clone() for value in lesson._state])
    first, second, third = (values[0] for values in seen)
    assert torch.allclose(lesson.averaged_weights()[0], (first + second + third) / 3, atol=1e-6)  # of few steps, the plain mean
    lesson.swap()
    assert torch.allclose(lesson._state[0], (first + second + third) / 3, atol=1e-6)
    assert torch.equal(lesson.averaged_weights()[0], third)


@pytest.mark.parametrize("steps", [STEPS, 40])
def test_a_lesson_that_pauses_on_rungs_learns_the_same_weights_bit_for_bit(tmp_path, steps):
    whole, rungs = tmp_path / "whole.safetensors", tmp_path / "rungs.safetensors"
    taught = distiller(tmp_path / "one", FakeTeacher(), plan=MANY_VARIANTS).teach(small_student(), POINT, steps=steps, seed=7, out=whole)
    teacher, seconds = FakeTeacher(), []
    for until in (steps // 9, steps // 3):
        paused = distiller(tmp_path / str(until), teacher, plan=MANY_VARIANTS).teach(
            small_student(), POINT, steps=steps, seed=7, out=rungs, until=until
        )
        assert teacher.calls == until  # the steps of the rung below are not taken again
        assert 0 <= paused.accuracy <= 100
        assert not rungs.exists()
        seconds.append(paused.seconds)
    ended = distiller(tmp_path / "end", teacher, plan=MANY_VARIANTS).teach(small_student(), POINT, steps=steps, seed=7, out=rungs)
    assert teacher.calls == steps
    assert equal(whole, rungs)
    assert (ended.accuracy, ended.loss) == (taught.accuracy, taught.loss)
    assert seconds[0] < seconds[1] < ended.seconds


def test_a_long_lesson_that_pauses_keeps_its_average(tmp_path, monkeypatch):
    monkeypatch.setattr("autokd_edge.teaching.lesson.AVERAGED_FROM", 30)
    whole, rungs = tmp_path / "whole.safetensors", tmp_path / "rungs.safetensors"
    distiller(tmp_path / "one", FakeTeacher()).teach(small_student(), POINT, steps=30, seed=7, out=whole)
    for until in (10, None):
        distiller(tmp_path / "two", FakeTeacher()).teach(small_student(), POINT, steps=30, seed=7, out=rungs, until=until)
    assert equal(whole, rungs)


def test_a_paused_lesson_is_graded_by_the_better_of_its_weights_and_their_recent_average(tmp_path):
    out = tmp_path / "w.safetensors"
    taught_by = distiller(tmp_path, FakeTeacher())
    paused = taught_by.teach(small_student(), POINT, steps=60, seed=7, out=out, until=30)
    nothing = Lessons(student_channels=(), teacher_channels=(), labels=torch.zeros(0), seed=0)
    lesson = Lesson(small_student(), 60, 7, out.with_suffix(".partial"), CrossEntropy(Point(values=()), nothing), pauses=True)
    data = small_source().teaching()
    augment = Augmenter(data.augmentation, samples=len(data.train), seed=0, image=data.image, mean=data.mean, std=data.std)
    own = accuracy_of(lesson.network, data.validation, augment)
    lesson.swap()
    assert paused.accuracy == max(own, accuracy_of(lesson.network, data.validation, augment))


def test_a_lesson_beyond_a_rung_that_was_not_graded_begins_again(tmp_path):
    out, other = tmp_path / "w.safetensors", tmp_path / "x.safetensors"
    with pytest.raises(KeyboardInterrupt):
        distiller(tmp_path, FakeTeacher(stop_at_call=SAVE_EVERY + 5), plan=MANY_VARIANTS).teach(
            small_student(), POINT, steps=STEPS, seed=7, out=out
        )
    assert out.with_suffix(".partial").exists()
    paused, again = (
        distiller(tmp_path / name, FakeTeacher(), plan=MANY_VARIANTS).teach(small_student(), POINT, steps=STEPS, seed=7, out=path, until=20)
        for name, path in (("y", out), ("x", other))
    )
    assert (paused.accuracy, paused.loss) == (again.accuracy, again.loss)


@pytest.mark.parametrize("until", [0, 40, 41])
def test_a_lesson_cannot_pause_outside_of_its_steps(tmp_path, until):
    with pytest.raises(ValueError, match=f"must pause after 1 to 39 of its 40 steps; got {until}"):
        distiller(tmp_path).teach(small_student(), POINT, steps=40, seed=7, out=tmp_path / "w.safetensors", until=until)
