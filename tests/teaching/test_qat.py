import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from contracts.fine_tuner import FineTunerContract
from fakes.quantised import quantised_as, spoiled
from fakes.small_disk import small_disk
from safetensors.torch import load_file
from teaching.small import CLASSES, POINT, FakeTeacher, small_source, small_student, small_teacher

from autokd_edge.core.space import Point
from autokd_edge.errors import StoreError, TeachError
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.students.lower_torch import torch_from_spec
from autokd_edge.teaching.augment import AugmentPlan
from autokd_edge.teaching.inputs import preprocessed
from autokd_edge.teaching.qat import USUAL, GraphTuner
from autokd_edge.teaching.trainer import KDDistiller

SAVE_EVERY, STEPS = 20, 30
PLAIN = AugmentPlan(shift=1, flip=False, cutout=0, variants=1_000)  # no logits are ever found in the cache


@pytest.fixture(autouse=True)
def _saved_often(monkeypatch):
    monkeypatch.setattr("autokd_edge.teaching.qat.SAVE_EVERY", SAVE_EVERY)


def tuner(cache: Path, teacher=None, *, steps: int = STEPS, seed: int = 5) -> GraphTuner:
    return KDDistiller(small_source(plan=PLAIN).teaching(), teacher or FakeTeacher(), seed=seed, cache=cache).fine_tuner(steps)


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Path:
    """The quantised graph of an untrained student."""
    path = tmp_path_factory.mktemp("graph") / "student.onnx"
    model = onnx_from_spec(small_student(), {name: value.numpy() for name, value in torch_from_spec(small_student()).arrays().items()})
    samples = np.random.default_rng(0).standard_normal((16, *small_student().input), dtype=np.float32)
    path.write_bytes(quantised_as("onnxruntime", model, samples).SerializeToString())
    return path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, graph) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    tunes = tuner(folder)
    tunes.tune(graph, tunes.recipe(POINT), out=folder / "made.onnx")
    assert [path.name for path in folder.iterdir() if "partial" in path.name or "begun" in path.name] == []
    return (folder / "made.onnx").read_bytes()


class TestGraphTuner(FineTunerContract):
    @pytest.fixture
    def tuner(self, tmp_path):
        return tuner(tmp_path / "one", steps=3)

    @pytest.fixture
    def another(self, tmp_path):
        return tuner(tmp_path / "two", steps=3)

    @pytest.fixture
    def distillation(self):
        return POINT


def test_the_same_seed_tunes_the_same_bytes_and_another_one_others(uninterrupted, graph, tmp_path):
    for seed, same in ((5, True), (6, False)):
        tunes = tuner(tmp_path / str(seed), seed=seed)
        tunes.tune(graph, tunes.recipe(POINT), out=tmp_path / f"{seed}.onnx")
        assert ((tmp_path / f"{seed}.onnx").read_bytes() == uninterrupted) is same


@pytest.mark.parametrize("at", [5, SAVE_EVERY + 5])
def test_interrupted_tuning_goes_on_to_the_bytes_of_an_uninterrupted_one(uninterrupted, graph, tmp_path, at):
    out = tmp_path / "made.onnx"
    with pytest.raises(KeyboardInterrupt):
        tuner(tmp_path / "one", FakeTeacher(stop_at_call=at)).tune(graph, tuner(tmp_path / "one").recipe(POINT), out=out)
    assert not out.exists()
    teacher = FakeTeacher()
    tunes = tuner(tmp_path / "two", teacher)
    tunes.tune(graph, tunes.recipe(POINT), out=out)
    assert out.read_bytes() == uninterrupted
    assert teacher.calls == (STEPS - SAVE_EVERY if at > SAVE_EVERY else STEPS)
    tunes.tune(graph, tunes.recipe(POINT), out=out)
    assert teacher.calls <= STEPS  # what is there is not made again


_TUNED_ALONE = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    import torch
    torch.set_num_threads(1)
    from teaching.small import POINT, FakeTeacher
    from autokd_edge.teaching import qat
    from teaching.test_qat import SAVE_EVERY, STEPS, tuner
    qat.SAVE_EVERY = SAVE_EVERY
    class SlowTeacher(FakeTeacher):
        def answer(self, images):
            if self.calls > STEPS - 5:
                print("late", flush=True)
                sys.stdin.readline()  # waits to be killed
            return super().answer(images)
    folder = Path(sys.argv[2])
    tunes = tuner(folder, SlowTeacher())
    tunes.tune(Path(sys.argv[3]), tunes.recipe(POINT), out=folder / "made.onnx")
"""


@pytest.mark.thorough
def test_killed_tuning_goes_on_to_the_bytes_of_an_uninterrupted_one(uninterrupted, graph, tmp_path):
    argv = [sys.executable, "-c", textwrap.dedent(_TUNED_ALONE), str(Path(__file__).parents[1]), str(tmp_path), str(graph)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"late\n"
        os.kill(process.pid, signal.SIGKILL)
    tunes = tuner(tmp_path)
    tunes.tune(graph, tunes.recipe(POINT), out=tmp_path / "made.onnx")
    assert (tmp_path / "made.onnx").read_bytes() == uninterrupted


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_a_teach_error_and_writes_no_graph(graph, tmp_path, weight):
    tunes = tuner(tmp_path, small_teacher(weight=weight))
    with pytest.raises(TeachError, match=r"loss of tuning must be finite; it is (nan|inf) at step 1 of 30"):
        tunes.tune(graph, tunes.recipe(POINT), out=tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()


def test_what_torch_cannot_compute_is_a_teach_error(tmp_path):
    wider = replace(small_student(), input=(2, 8, 8))  # reads two channels, the data has one
    samples = np.zeros((2, 2, 8, 8), np.float32) + np.linspace(0, 1, 8, dtype=np.float32)
    path = tmp_path / "wide.onnx"
    path.write_bytes(quantised_as("onnxruntime", onnx_from_spec(wider), samples).SerializeToString())
    tunes = tuner(tmp_path)
    with pytest.raises(TeachError, match="torch could not take step 1 of 30 of tuning"):
        tunes.tune(path, tunes.recipe(POINT), out=tmp_path / "made.onnx")


def test_a_full_disk_ends_tuning_with_a_store_error(graph, tmp_path):
    tunes = tuner(tmp_path, steps=2)
    with small_disk(tmp_path / "disk", kibibytes=4) as disk, pytest.raises(StoreError, match="No space left"):
        tunes.tune(graph, tunes.recipe(POINT), out=disk / "made.onnx")


def test_the_recipe_names_all_that_decides(tmp_path):
    data, teacher = small_source().teaching(), small_teacher()
    recipe = (
        KDDistiller(data, teacher, seed=5, cache=tmp_path, loss="dkd").fine_tuner(40).recipe(Point(values=(("tau", 2.0), ("beta", 3.0))))
    )
    assert (recipe.steps, recipe.loss, recipe.seed, recipe.teacher, recipe.data) == (40, "dkd", 5, teacher.digest, data.digest)
    assert recipe.distillation.number("beta") == 3.0


def test_a_loss_of_features_is_replaced_by_plain_distillation(tmp_path):
    features = KDDistiller(small_source().teaching(), small_teacher(), seed=5, cache=tmp_path, loss="at").fine_tuner(2)
    recipe = features.recipe(Point(values=(("beta", 900.0),)))
    assert (recipe.loss, recipe.distillation) == ("kd", USUAL["kd"])


@pytest.mark.parametrize("loss", ["at", "ls"])
def test_labels_alone_and_teachers_of_features_tune_too(graph, tmp_path, loss):
    teacher = None if loss == "ls" else small_teacher()
    tunes = KDDistiller(small_source().teaching(), teacher, seed=5, cache=tmp_path, loss=loss).fine_tuner(2)
    recipe = tunes.recipe()
    tunes.tune(graph, recipe, out=tmp_path / "made.onnx")
    assert (recipe.teacher is None) is (loss == "ls")
    assert (tmp_path / "made.onnx").read_bytes() != graph.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "times"), [("onnxruntime", 300.0), ("tensorrt", 200.0)])  # the latter has half the levels
def test_a_range_spoiled_by_one_channel_is_recovered_from(tmp_path, setting, times):
    """One channel so much larger leaves the others hardly a level; in float the network is the same."""
    data = small_source(samples=400, held=200).teaching()
    distiller = KDDistiller(data, None, seed=5, cache=tmp_path, loss="ce")
    distiller.teach(small_student(), Point(values=()), steps=150, seed=7, out=tmp_path / "w.safetensors")
    network = torch_from_spec(small_student())
    network.load_arrays(load_file(tmp_path / "w.safetensors"))
    model = spoiled(onnx_from_spec(small_student(), {name: value.numpy() for name, value in network.arrays().items()}), times)
    images = preprocessed(data.validation.images, data.mean, data.std)
    made = quantised_as(setting, model, images[:64])
    (tmp_path / "quantised.onnx").write_bytes(made.SerializeToString())
    tunes = distiller.fine_tuner(150)
    tunes.tune(tmp_path / "quantised.onnx", tunes.recipe(Point(values=())), out=tmp_path / "tuned.onnx")
    in_float, before, after = (accuracy(one, images, data.validation.labels) for one in (model, made, onnx.load(tmp_path / "tuned.onnx")))
    assert in_float > 85
    assert before < in_float - 15
    assert after > in_float - 3


def accuracy(model: onnx.ModelProto, images: np.ndarray, labels: np.ndarray) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])
    assert logits.shape[1] == len(CLASSES)
    return 100 * float((logits.argmax(axis=1) == labels).mean())
