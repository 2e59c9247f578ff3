"""Whole searches with teachers and data of the user's own, by the fake backend."""

import numpy as np
import pytest
from fakes.command import run_here
from fakes.plugin import install_plugin, write_target
from teaching.kinds.graphs import module, write_onnx
from teaching.small import CLASSES, small_images

import autokd_edge
from autokd_edge.bundle.checker import read_bundle
from autokd_edge.errors import LimitError, TeacherError

WANTED = {"target": "fake.toml", "budget": "1", "search_steps": 3, "final_steps": 4, "policy": "random", "study": "mine"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the target, a small data set and a teacher of it."""
    install_plugin(tmp_path / "site")
    write_target(tmp_path / "fake.toml")
    samples, test = small_images(300), small_images(40, seed=9)
    arrays = {"x_train": samples.images, "y_train": samples.labels, "x_test": test.images, "y_test": test.labels}
    np.savez(tmp_path / "mine.npz", **arrays, classes=np.array(CLASSES))
    write_onnx(tmp_path / "teacher.onnx", module())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


@pytest.mark.slow
def test_a_search_by_labels_alone_ships_a_student_and_says_that_there_was_no_teacher(here):
    study = autokd_edge.search(data="npz:mine.npz", teacher="none", max_latency="1s", out="run", augment="flip", **WANTED)
    assert (study.reference.accuracy, study.reference.cost, study.reference.measurements) == (None, None, ())
    assert (study.config.teacher, study.config.loss) == ("none", "ls")
    card = read_bundle(here / "run" / "bundle").card
    assert {a.what for a in card.accuracies} == {"student float", "student engine"}
    assert (card.teacher.name, card.teacher.cost, card.labels) == ("none", None, CLASSES)
    assert card.splits == {"train": 270, "validation": 30, "test": 40}
    assert run_here("report", "run", folder=here).status == 0
    assert (here / "run" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_an_onnx_teacher_is_graded_and_measured_before_any_student_by_its_own_preprocessing(here):
    (here / "teacher.card.json").write_text('{"mean": [0.2], "std": [0.5]}')
    study = autokd_edge.search(data="npz:mine.npz", teacher="teacher.onnx", max_latency="50x", loss="dist", out="run", **WANTED)
    assert len(study.reference.measurements) == 2
    assert study.reference.cost.macs > 0
    card = read_bundle(here / "run" / "bundle").card
    assert {a.what for a in card.accuracies} == {"teacher", "student float", "student engine"}
    assert dict(card.student.pupil.distillation.values).keys() == {"tau", "beta", "gamma"}


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_latency": "0.5x"}, r"a limit relative to the teacher needs a teacher; got --teacher none. Hint: --max-latency 3ms"),
        ({"max_memory": "0.5x"}, r"needs a teacher; got --teacher none. Hint: --max-memory 20MB"),
        ({"max_drop": "2"}, r"an accuracy drop needs a teacher to be below; got --teacher none"),
    ],
)
def test_relative_limits_without_a_teacher_are_refused_before_anything_is_written(here, limits, said):
    with pytest.raises(LimitError, match=said):
        autokd_edge.search(data="npz:mine.npz", teacher="none", out="run", **limits, **WANTED)
    assert not (here / "run").exists()


def test_a_loss_that_the_teacher_cannot_serve_is_refused(here):
    assert here
    for teacher, loss, said in (("none", "kd", "needs a teacher"), ("teacher.onnx", "at", "compares features"), ("none", "x", "one of kd")):
        with pytest.raises(TeacherError, match=said):
            autokd_edge.search(data="npz:mine.npz", teacher=teacher, max_latency="1s", loss=loss, out="run", **WANTED)
