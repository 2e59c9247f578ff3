"""Networks of the user's own, compiled with the fake backend: to the bundle, and refused."""

import json
from pathlib import Path

import onnx
import pytest
from fakes.command import run_here
from fakes.plugin import install_plugin, write_target
from fakes.quantised import spoiled
from safetensors.numpy import load_file

from autokd_edge.bundle.checker import read_bundle
from autokd_edge.core.student import INPUT, GlobalAvgPool, Linear, Relu, StudentSpec
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.graph import GraphWriter
from autokd_edge.students.lower_onnx import onnx_from_spec

pytestmark = pytest.mark.slow
DIGITS = (1, 8, 8)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder to stand in, with a target and models; the fake backend is installed beside it."""
    folder = tmp_path_factory.mktemp("compile")
    install_plugin(folder / "site")
    write_target(folder / "fake.toml")
    write_target(folder / "float.toml")
    floats = (folder / "float.toml").read_text().replace('[[variants]]\nbackend = "fake"\nprecision = "int8"\n\n', "")
    (folder / "float.toml").write_text(floats)
    write_model(folder / "net.onnx")
    return folder


def write_model(path: Path, *, image=DIGITS, classes=10) -> None:
    path.write_bytes(onnx_from_spec(resnet_spec(image, classes, (8,), 1, stem=4, seed=2)).SerializeToString())


@pytest.fixture
def run(here, monkeypatch):
    monkeypatch.syspath_prepend(here / "site")
    return lambda *words: run_here("compile", *map(str, words), folder=here)


def test_every_variant_is_built_graded_and_measured_and_the_fastest_good_one_is_bundled(run, here):
    done = run("net.onnx", "--target", "fake.toml", "--data", "digits", "--out", "auto", "--json")
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert [(engine["variant"], engine["shipped"]) for engine in document["engines"]] == [("fake/fp32", False), ("fake/int8", True)]
    assert document["engines"][1]["quantized"]["keep"] == []
    bundle = read_bundle(here / "auto")
    assert str(bundle.card.variant) == "fake/int8"
    assert bundle.engine.sha256 == document["engine_sha256"] == bundle.shipped.engine
    assert {(a.what, a.split) for a in bundle.card.accuracies} == {
        (w, s) for w in ("network in fp32", "engine") for s in ("validation", "test")
    }
    assert bundle.card.quantized is not None
    assert (bundle.card.quantized.keep, bundle.card.quantized.tuning) == ((), None)
    assert bundle.card.labels == tuple("0123456789")
    assert "student.int8.onnx" in {file.name for file in bundle.files}


def test_the_bundle_runs_like_any_other(run, here, monkeypatch):
    assert run("net.onnx", "--target", "fake.toml", "--precision", "fp32", "--out", "plain").status == 0
    monkeypatch.syspath_prepend(here / "site")
    ran = run_here("run", "plain", "--protocol", "screen", "--json", folder=here)
    assert (ran.status, json.loads(ran.out)["selftest_passed"]) == (0, True)


def test_without_images_only_fp32_is_compiled_and_nothing_is_graded(run, here):
    done = run("net.onnx", "--target", "fake.toml", "--out", "blind", "--json")
    assert [(e["variant"], e["accuracy_validation_percent"]) for e in json.loads(done.out)["engines"]] == [("fake/fp32", None)]
    card = read_bundle(here / "blind").card
    assert (card.accuracies, card.input.preprocessing.mean, card.input.preprocessing.std) == ((), (0.0,), (1.0,))


def test_the_table_says_what_came_of_each_variant(run):
    done = run("net.onnx", "--target", "fake.toml", "--data", "digits", "--out", "table", "--mean", "0.5", "--std", "0.25")
    assert done.status == 0
    assert "in the bundle" in done.out
    assert "replayed" in done.out
    assert "measured" not in done.out
    assert "autokd-edge run table" in done.out


def test_an_external_normalisation_goes_into_the_bundle(run, here):
    run("net.onnx", "--target", "fake.toml", "--precision", "fp32", "--data", "digits", "--out", "norm", "--mean", "0.5", "--std", "0.25")
    assert read_bundle(here / "norm").card.input.preprocessing.mean == (0.5,)


BAD = {
    "no model": (["none.onnx"], "there is no 'none.onnx'"),
    "int8 without images": (["net.onnx", "--precision", "int8"], "int8 needs calibration images, and there is no data set"),
    "a precision of no use": (["net.onnx", "--precision", "fp64"], "precision must be one of auto, fp32, fp16, bf16, int8; got 'fp64'"),
    "a precision that the target lacks": (["net.onnx", "--precision", "fp16"], "precision must be one of auto, fp32, int8 for target"),
    "a limit without images": (["net.onnx", "--max-drop", "1"], "needs images to grade engines with"),
    "a limit that is no number": (["net.onnx", "--data", "digits", "--max-drop", "some"], "must be 0 to 100 points; got 'some'"),
    "an unknown data set": (["net.onnx", "--data", "cats"], "data set must be one of"),
    "images of another size": (["large.onnx", "--data", "digits"], "(1, 8, 8) and 10 classes; 'large.onnx' takes (1, 9, 9)"),
    "a mean alone": (["net.onnx", "--mean", "0.5"], "mean and std must be given together"),
    "a mean for three channels": (["net.onnx", "--data", "digits", "--mean", "1,2,3", "--std", "1"], "mean must be 1 numbers"),
    "a std of zero": (["net.onnx", "--data", "digits", "--mean", "0", "--std", "0"], "std must be positive"),
    "an unknown target": (["net.onnx", "--target", "hast"], "there is no target 'hast'"),
    "something in the way": (["net.onnx", "--out", "site"], "'site' is something else"),
    "an unknown form": (["net.onnx", "--form", "loose"], "form must be one of standalone, runtime; got 'loose'"),
    "a form of no engine here": (["net.onnx", "--form", "runtime"], "form 'runtime' is of engines that are compiled to programs"),
    "fewer steps than none": (
        ["net.onnx", "--data", "digits", "--qat-steps", "-1"],
        "qat-steps must be at least 0, which tunes nothing; got -1",
    ),
    "tuning without images": (
        ["net.onnx", "--qat-steps", "9"],
        "tuning needs images to learn from, and there is no data set. Hint: --data NAME",
    ),
    "tuning what is not quantised": (
        ["net.onnx", "--data", "digits", "--qat-steps", "9", "--precision", "fp32"],
        "qat-steps tunes int8 engines; got precision 'fp32'. Hint: --precision int8",
    ),
    "tuning for a target without int8": (
        ["net.onnx", "--data", "digits", "--qat-steps", "9", "--target", "float.toml"],
        "qat-steps tunes int8 engines; target 'fake-host' has fake/fp32 alone. Hint: leave --qat-steps out",
    ),
    "a teacher of nothing": (
        ["net.onnx", "--data", "digits", "--teacher", "example:digits"],
        "a teacher is asked while int8 is tuned alone",
    ),
    "tuning by nobody": (["net.onnx", "--data", "digits", "--qat-steps", "9", "--teacher", "gone.onnx"], "teacher file must exist"),
    "tuning what cannot be taught": (
        ["gelu.onnx", "--data", "digits", "--qat-steps", "9"],
        "'gelu.onnx' cannot be tuned: quantisation-aware tuning knows Conv,",
    ),
    "no candidate to tune": (["net.onnx", "--tune", "0"], "--tune must be 1 to 1000 candidates of each layer; got 0"),
    "a backend without a tuner": (["net.onnx", "--tune", "4"], "--tune is for backends that have a tuner, as tvm has; target 'fake-host'"),
    "an address that is none": (["net.onnx", "--device", "http://x"], "http://x"),
}


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_wrong_input_is_one_sentence_and_leaves_nothing(run, here, words, said):
    write_model(here / "large.onnx", image=(1, 9, 9))
    strange = onnx.load(here / "net.onnx")
    next(node for node in strange.graph.node if node.op_type == "Relu").op_type = "Erf"
    onnx.save(strange, here / "gelu.onnx")
    given = words if "--target" in words else [*words, "--target", "fake.toml"]
    out = [] if "--out" in words else ["--out", "wrong"]
    refused = run(*given, *out)
    assert refused.status == 2
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert not (here / "wrong").exists()
    assert not [path for path in here.iterdir() if path.name.startswith(".wrong")]


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "tvm"])
@pytest.mark.parametrize("teacher", [[], ["--teacher", "none"]], ids=["itself", "labels"])
def test_an_engine_that_quantising_ruins_is_tuned_and_keeps_every_layer_quantised(here, backend, teacher):
    """One channel of each layer is hundreds of times the others: in float nothing changes, of their integers little is left."""
    write_spoiled(here / "spoiled.onnx", times=200)
    write_target(here / "here.toml", backend_name=backend)
    out = f"tuned-{backend}-{len(teacher)}"
    words = ["spoiled.onnx", "--target", "here.toml", "--data", "digits", "--precision", "int8", "--out", out, "--json"]
    done = run_here("compile", *words, "--qat-steps", "300", "--max-drop", "3", *teacher, folder=here)
    assert done.status == 0, done.err
    (engine,) = json.loads(done.out)["engines"]
    found = engine["quantized"]
    assert found["tried"][0]["accuracy"] < found["float_accuracy"] - 3
    assert engine["accuracy_validation_percent"] >= found["float_accuracy"] - 3
    assert (found["keep"], found["tuning"]["steps"], found["tuning"]["loss"]) == ([], 300, "ls" if teacher else "kd")
    card = read_bundle(here / out).card
    assert card.quantized is not None
    assert card.quantized.tuning is not None
    assert card.accuracy("engine", "test").percent > 85


def write_spoiled(path: Path, *, times: float) -> None:
    """Teach a small network the digits, then make one channel of each layer larger and what reads it smaller."""
    if path.exists():
        return
    from autokd_edge.core.space import Point
    from autokd_edge.teaching.data import data_source
    from autokd_edge.teaching.trainer import KDDistiller

    spec = chain_of_convolutions()
    weights = path.with_suffix(".safetensors")
    distiller = KDDistiller(data_source("digits").teaching(), None, seed=0, cache=path.parent / "cache", loss="ce")
    distiller.teach(spec, Point(values=()), steps=300, seed=0, out=weights)
    path.write_bytes(spoiled(onnx_from_spec(spec, load_file(weights)), times).SerializeToString())


def chain_of_convolutions() -> StudentSpec:
    """Write convolutions one after the other, each read by the next alone."""
    graph = GraphWriter(DIGITS)
    x = INPUT
    for channels, stride in ((16, 1), (16, 1), (32, 2), (32, 1)):
        x = graph.put(Relu(), graph.conv_norm(x, channels, stride=stride))
    graph.put(Linear(out_features=10), graph.put(GlobalAvgPool(), x))
    return graph.spec(seed=1)
