"""Bundles of predicted readings: they hold the graph, say that nothing was built, and bring a script that does it."""

import dataclasses
import subprocess

import pytest
from fakes.bundle import ENGINE, sample_card, sample_files
from fakes.study import sample_prediction

from autokd_edge.bundle.checker import check_bundle, read_bundle
from autokd_edge.bundle.unbuilt import GRAPH_TO_BUILD, SCRIPT, script_text
from autokd_edge.bundle.writer import write_bundle
from autokd_edge.core.target import Variant
from autokd_edge.errors import BundleError


def predicted_card(backend="openvino", precision="fp32"):
    card = sample_card()
    variant = Variant(backend=backend, precision=precision)
    readings = tuple(
        dataclasses.replace(
            one,
            measurement=dataclasses.replace(one.measurement, origin="predicted", variant=variant, prediction=sample_prediction()),
        )
        for one in card.measurements
    )
    return dataclasses.replace(card, variant=variant, measurements=readings)


@pytest.fixture
def bundle(tmp_path):
    files = dataclasses.replace(sample_files(tmp_path), engine_name=GRAPH_TO_BUILD)
    write_bundle(tmp_path / "bundle", files, predicted_card())
    return tmp_path / "bundle"


def test_it_holds_the_graph_and_the_script_and_no_program_that_runs_an_engine(bundle):
    assert read_bundle(bundle).card.predicted
    names = {path.name for path in bundle.iterdir()}
    assert {GRAPH_TO_BUILD, SCRIPT, "student.onnx", "selftest_inputs.npy"} <= names
    assert not {"predict.py", "engine.blob"} & names
    assert (bundle / GRAPH_TO_BUILD).read_bytes() == ENGINE
    assert "PREDICTED" in (bundle / "README.txt").read_text()


def test_it_is_not_run_as_if_it_were_an_engine(bundle):
    with pytest.raises(BundleError, match="was never built: its readings are predicted") as refused:
        check_bundle(bundle)
    assert SCRIPT in refused.value.hint


def ran(folder, program, *argv, text):
    """Run a script with a stand-in for the program that it ends in."""
    (folder / "bin").mkdir()
    (folder / "bin" / program).write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
    (folder / "bin" / program).chmod(0o755)
    (folder / SCRIPT).write_text(text)
    environment = {"PATH": f"{folder}/bin:/usr/bin:/bin", "TMPDIR": "/its-own"}
    return subprocess.run(["/bin/sh", SCRIPT, *argv], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_from_elsewhere_it_profiles_the_network_on_the_board(tmp_path):
    done = ran(tmp_path, "autokd-edge", "ssh://pi@board", text=script_text(predicted_card("tvm", "int8"), quantized=True))
    wanted = "profile student.int8.onnx --target host --device ssh://pi@board --data selftest_inputs.npy --out ../profile.json"
    assert done.stdout == f"autokd-edge {wanted}\n"


@pytest.mark.parametrize(("precision", "flags"), [("fp32", "--noTF32"), ("fp16", "--fp16"), ("int8", "--fp16 --int8")])
def test_on_a_jetson_it_builds_and_times_with_trtexec(tmp_path, precision, flags):
    done = ran(tmp_path, "trtexec", text=script_text(predicted_card("tensorrt", precision), quantized=False))
    assert done.stdout.startswith(f"trtexec --onnx={GRAPH_TO_BUILD} --saveEngine=/its-own/autokd_student.engine {flags} --warmUp=500")


def test_on_an_intel_board_it_uses_benchmark_app(tmp_path):
    done = ran(tmp_path, "benchmark_app", text=script_text(predicted_card("openvino", "bf16"), quantized=False))
    assert done.stdout.startswith(f"benchmark_app -m {GRAPH_TO_BUILD} -d CPU -hint none -nthreads 1 -nstreams 1 -infer_precision bf16")


def test_a_backend_that_compiles_elsewhere_says_so(tmp_path):
    done = ran(tmp_path, "none", text=script_text(predicted_card("tvm"), quantized=False))
    assert (done.returncode, done.stdout) == (2, "")
    assert "sh build_and_measure.sh ssh://user@board" in done.stderr
