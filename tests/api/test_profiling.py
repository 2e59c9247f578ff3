"""`autokd-edge profile` with the fake backend: what it prints, writes and refuses."""

import dataclasses
import json

import numpy as np
import pytest
from fakes.backend import FAKE_PROTOCOL, FAKE_TARGET, FAKE_VARIANTS, FakeBoard, FakeBuilder, FakeQuantizer
from fakes.bundle import sample_card
from fakes.command import held_by, run_here
from fakes.graphs import write_graph, write_samples
from fakes.plugin import install_plugin, write_target
from fakes.study import sample_spec

from autokd_edge.api.profiling import read_profile
from autokd_edge.bundle.manifest import Reading, Runtime
from autokd_edge.bundle.writer import BundleFiles, write_bundle
from autokd_edge.core.digest import digest_of_file
from autokd_edge.core.profile import LeftOut, Profiled
from autokd_edge.errors import InputError
from autokd_edge.students.lower_onnx import onnx_from_spec


@pytest.fixture
def site(tmp_path):
    return install_plugin(tmp_path / "site")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "here"
    place.mkdir()
    write_graph(place / "model.onnx")
    write_target(place / "fake.toml")
    write_samples(place / "images.npy")
    return place


def run(folder, site, *argv):
    return run_here("profile", "model.onnx", "--target", "fake.toml", "--protocol", "screen", *argv, folder=folder, path=site)


def test_a_table_shows_every_variant_and_says_what_was_left_out(folder, site):
    done = run(folder, site)
    assert (done.status, done.err.strip()) == (0, "")
    assert "fake/fp32 (replayed" in done.out
    assert "Upper bound of p50" in done.out
    assert "fake/int8: left out: int8 needs calibration images: --data" in done.out


def test_a_percentile_without_enough_samples_is_refused(folder, site):
    line = next(line for line in run(folder, site).out.splitlines() if "Latency p99" in line)
    assert "too few samples" in line  # screen has 150, a p99 needs 459


def test_the_file_holds_the_raw_samples_and_report_reads_it(folder, site):
    assert run(folder, site, "--data", "images.npy", "--out", "p.json").status == 0
    read = read_profile(folder / "p.json")
    assert [type(row.outcome) for row in read.rows] == [Profiled, Profiled]
    assert read.rows[0].outcome.measurement.count == 150
    told = run_here("report", "p.json", "--json", folder=folder)
    assert (told.status, told.err) == (0, "")
    document = json.loads(told.out)
    assert [variant["outcome"] for variant in document["variants"]] == ["replayed", "replayed"]
    assert document["variants"][1]["reading"]["precision"] == "int8"
    assert "fake/int8" in run_here("report", "p.json", folder=folder).out


def test_json_says_the_same_as_the_table(folder, site):
    document = json.loads(run(folder, site, "--json").out)
    assert [variant["outcome"] for variant in document["variants"]] == ["replayed", "left out"]
    reading = document["variants"][0]["reading"]
    assert (reading["samples"], reading["p99_ns"]) == (150, None)


def test_nothing_measured_is_status_1(folder, site):
    (site / "fake_failing_board.py").write_text(
        "import dataclasses\n"
        "from fakes.backend import FakeBoard, fake_backend\n"
        "from autokd_edge.errors import MeasureError\n"
        "class FakeDeadBoard(FakeBoard):\n"
        "    def measure(self, engine, *, variant, target, protocol):\n"
        "        raise MeasureError('the board does not answer')\n"
        "def backend(folder):\n"
        "    return dataclasses.replace(fake_backend(), board=FakeDeadBoard())\n"
    )
    (site / "fake-1.0.dist-info" / "entry_points.txt").write_text("[autokd_edge.backends]\ndead = fake_failing_board:backend\n")
    write_target(folder / "fake.toml", backend_name="dead")
    done = run(folder, site)
    assert done.status == 1
    assert "dead/fp32: failed to measure (MeasureError): the board does not answer" in done.out


def test_of_a_run_for_several_targets_one_of_the_bundles_is_asked_for(folder, site):
    for name in ("b", "a"):
        (folder / "run" / "bundles" / name).mkdir(parents=True)
        (folder / "run" / "bundles" / name / "manifest.json").touch()
    done = run_here("profile", "run", folder=folder, path=site)
    assert done.status == 2
    assert done.err.endswith("'run' has 2 of them. Hint: autokd-edge profile run/bundles/a\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("none.onnx",), "there is no 'none.onnx'"),
        (("fake.toml",), "a model must be an ONNX file; 'fake.toml' is something else"),
        (("empty",), "a folder to profile must be a bundle, or a run that shipped one; 'empty' has no manifest.json"),
        (("model.onnx", "--protocol", "fast"), "there is no protocol 'fast'"),
        (("model.onnx", "--target", "none"), "there is no target 'none'"),
        (
            ("model.onnx", "--target", "jetson-nano"),
            "'jetson-nano' must run on aarch64; the machine is x86_64. Hint: --device ssh://user@host",
        ),
        (("model.onnx", "--device", "pi"), "a device must be ssh://user@host"),
        (
            ("model.onnx", "--data", "none.npy"),
            "calibration images must be a data set's name or a .npy file; 'none.npy' is not there",
        ),
        (("model.onnx", "--data", "fake.toml"), "data set must be one of"),
        (("model.onnx", "--data", "wide.npy"), "calibration images must be float32 (n, 1, 12, 12)"),
        (("model.onnx", "--data", "double.npy"), "calibration images must be float32; 'double.npy' holds float64"),
        (("model.onnx", "--out", "nowhere/p.json"), "--out must be a file in a folder that is there; got 'nowhere/p.json'"),
    ],
)
def test_wrong_input_is_one_sentence_with_status_2_and_nothing_written(argv, said, folder, site):
    (folder / "empty").mkdir()
    write_samples(folder / "wide.npy", shape=(3, 12, 12))
    np.save(folder / "double.npy", np.zeros((4, 1, 12, 12)))
    before = held_by(folder)
    done = run_here("profile", "--target", "fake.toml", *argv, folder=folder, path=site)
    assert (done.status, done.out) == (2, "")
    assert said in done.last
    assert held_by(folder) == before


def test_a_file_that_is_no_profile_is_refused(tmp_path):
    (tmp_path / "p.json").write_text('{"profile_version": 1}')
    with pytest.raises(InputError, match="must be a profile as `autokd-edge profile --out` writes it; field 'created'"):
        read_profile(tmp_path / "p.json")
    (tmp_path / "p.json").write_text("nonsense")
    with pytest.raises(InputError, match="must be a profile"):
        read_profile(tmp_path / "p.json")


def test_left_out_variants_survive_writing(folder, site):
    assert run(folder, site, "--out", "p.json").status == 0
    assert isinstance(read_profile(folder / "p.json").rows[1].outcome, LeftOut)


@pytest.fixture
def run_folder(tmp_path):
    """The folder of a run whose int8 student was shipped."""
    spec, int8 = sample_spec(), FAKE_VARIANTS[1]
    graph, quantized, engine = (tmp_path / name for name in ("student.onnx", "student.int8.onnx", "engine"))
    graph.write_bytes(onnx_from_spec(spec).SerializeToString())
    inputs = write_samples(tmp_path / "inputs.npy", 4, shape=spec.input)
    FakeQuantizer().quantize(graph, inputs, variant=int8, target=FAKE_TARGET, out=quantized)
    FakeBuilder().build(quantized, variant=int8, target=FAKE_TARGET, out=engine)
    reading = FakeBoard().measure(engine, variant=int8, target=FAKE_TARGET, protocol=FAKE_PROTOCOL)
    card = dataclasses.replace(
        sample_card(digest_of_file(engine)),
        target=FAKE_TARGET,
        variant=int8,
        measurements=(Reading(what="student engine", measurement=reading),),
        runtime=Runtime(package="fake", version="1.0"),
    )
    files = BundleFiles(
        engine=engine,
        engine_name="engine.blob",
        float_graph=graph,
        quantized_graph=quantized,
        selftest_inputs=inputs,
        selftest_logits=inputs,
    )
    write_bundle(tmp_path / "run" / "bundle", files, card)
    return tmp_path / "run"


@pytest.mark.parametrize("part", ["", "bundle"])
def test_a_run_or_its_bundle_gives_the_float_student_and_the_graph_that_was_quantised_for_it(run_folder, part, folder, site):
    done = run_here("profile", run_folder / part, "--target", "fake.toml", "--protocol", "screen", "--json", folder=folder, path=site)
    assert [variant["outcome"] for variant in json.loads(done.out)["variants"]] == ["replayed", "replayed"]


def test_a_bundle_with_a_changed_byte_is_refused(run_folder, folder, site):
    graph = run_folder / "bundle" / "student.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    done = run_here("profile", run_folder, "--target", "fake.toml", folder=folder, path=site)
    assert done.status == 2
    assert "'student.onnx' of bundle" in done.last


@pytest.mark.slow
def test_an_rtx_engine_is_built_and_said_not_to_be_measured(folder):
    done = run_here("profile", "model.onnx", "--target", "rtx", "--data", "images.npy", folder=folder)
    assert done.status == 1  # nothing was measured
    for precision in ("fp32", "fp16", "int8"):
        line = next(line for line in done.out.splitlines() if line.startswith(f"tensorrt_rtx/{precision}: "))
        assert "built, " in line
        assert "and not measured: an engine of target 'rtx'" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tune", "-1"), "--tune must be 1 to 1000 candidates of each layer; got -1"),
        (("--tune", "4"), "--tune is for backends that have a tuner, as tvm has; target 'fake-host' has fake/fp32, fake/int8"),
        (("--tune", "4", "--predict", "recorded"), "--tune times candidates on a device, and --predict has none"),
    ],
)
def test_tuning_that_cannot_be_is_refused_in_one_sentence(words, said, folder, site):
    refused = run(folder, site, *words)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert said in refused.err
