"""Logits through the Python binding of TensorRT, with stand-ins for it and for libcudart: those of trtexec, or one sentence why not."""

import ast
import functools
import json
import subprocess

import numpy as np
import pytest
from fakes.graphs import CLASSES, logits_by_onnxruntime, write_graph, write_samples
from fakes.jetson import FakeJetson, install_binding, install_trtexec
from fakes.sshd import LoopbackBoard

from autokd_edge.backends.tensorrt import binding, logits_program
from autokd_edge.backends.tensorrt.binding import PROGRAM, Binding
from autokd_edge.backends.tensorrt.board import TrtexecBoard
from autokd_edge.backends.tensorrt.logits import LogitsRunner
from autokd_edge.core.target import Variant
from autokd_edge.devices.board import Place
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import MeasureError, TimedOutError
from autokd_edge.ports import Extra
from autokd_edge.wiring import BACKENDS, device_of

FP32 = Variant(backend="tensorrt", precision="fp32")
VERSION = "8.6.1"


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return write_graph(tmp_path_factory.mktemp("graph") / "g.onnx")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return write_samples(tmp_path_factory.mktemp("samples") / "s.npy", 3)


@pytest.fixture(scope="module")
def built(tmp_path_factory, graph, target):
    """Returns a trtexec of a version and the small graph's engine by it; built once, because both are values."""

    @functools.cache
    def jetson(version):
        folder = tmp_path_factory.mktemp(version)
        made = FakeJetson(folder, version)
        made.builder.build(graph, variant=FP32, target=target, out=folder / "engine")
        return made, folder / "engine"

    return jetson


@pytest.fixture
def run(tmp_path, built, samples, target):
    """Runs the engine of a version on the samples with a Python; returns the logits."""

    def logits(version=VERSION, *, binding=VERSION, inputs=samples, **faults):
        (jetson, engine), out = built(version), tmp_path / "logits.npy"
        board = TrtexecBoard(jetson.trtexec, jetson.builder, jetson.place, runner(jetson, install_binding(tmp_path, binding, **faults)))
        try:
            board.infer(engine, inputs, variant=FP32, target=target, out=out)
        except MeasureError:
            assert not out.exists()
            raise
        return np.load(out)

    return logits


def runner(jetson, *pythons):
    return LogitsRunner(jetson.trtexec, Binding(link=LocalLink(), pythons=tuple((str(python),) for python in pythons)))


def refuse_one_by_one(*_):
    raise AssertionError("no process of trtexec may run a sample")


@pytest.mark.parametrize(("version", "fault"), [("8.2.1", ""), ("8.6.1", ""), ("8.6.1", "output-first"), ("10.3.0", "output-first")])
def test_one_process_gives_the_logits_of_all_samples_by_each_generation_of_the_binding(
    run, version, fault, graph, samples, monkeypatch, caplog
):
    monkeypatch.setattr("autokd_edge.backends.tensorrt.logits.LogitsRunner._one_by_one", refuse_one_by_one)
    found = run(version, binding=f"{version}.8", fault=fault)
    assert (found.dtype, found.shape) == (np.float32, (3, CLASSES))
    np.testing.assert_array_equal(found, logits_by_onnxruntime(graph.read_bytes(), np.load(samples)))
    assert not caplog.records


@pytest.mark.slow
def test_without_the_binding_trtexec_gives_the_same_logits_and_it_is_said_once(run, tmp_path, samples, caplog):
    two = tmp_path / "two.npy"
    np.save(two, np.load(samples)[:2])
    by_binding = run(inputs=two)
    one_by_one = run(binding=None, inputs=two)
    np.testing.assert_allclose(one_by_one, by_binding, rtol=1e-5, atol=1e-6)  # trtexec writes six digits
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("logits come from one process of trtexec a sample, some seconds each: ")
    assert said.endswith("No module named 'tensorrt'. Hint: sudo apt-get install python3-libnvinfer")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"memory": 100}, r"cudaMalloc of \d+ bytes must give status 0; it gave 2 \(out of memory\)"),
        ({"fault": "no-context"}, "could not make room to run the engine: 2: .* OutOfMemory"),
        ({"gpu": "5.3"}, "could not read the engine: 6: The engine plan file is not compatible with this version of TensorRT; 4: "),
        ({"fault": "fails"}, "did not run sample 1: 1: .*illegal memory access"),
        ({"fault": "nan"}, "logits must be finite; sample 1 is not"),
        ({"fault": "half"}, r"one input and one output, float32 and of fixed shape; it has input\[1, "),
        ({"fault": "killed"}, "crashed with SIGKILL"),
    ],
)
def test_what_fails_on_the_board_is_a_sentence_and_leaves_nothing(run, faults, said):
    with pytest.raises(MeasureError, match=said):
        run(**faults)


def test_samples_that_do_not_fit_are_refused(run, tmp_path):
    with pytest.raises(MeasureError, match=r"samples must be float32 \(n, .*\) for an engine of batch 1; got <f4 \(2, 1, 9, 9\)"):
        run(inputs=write_samples(tmp_path / "other.npy", 2, shape=(1, 9, 9)))


def test_a_file_of_samples_that_was_cut_off_is_refused(built, tmp_path, samples):
    inputs, (_, engine) = tmp_path / "cut.npy", built(VERSION)
    inputs.write_bytes(samples.read_bytes()[:-4])
    request = {"engine": str(engine), "inputs": str(inputs), "out": str(tmp_path / "out")}
    argv = [install_binding(tmp_path, VERSION), PROGRAM, "infer"]
    done = subprocess.run(argv, input=json.dumps(request), capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "the file of samples must hold 3; it ends within sample 2"


def test_a_program_that_hangs_is_ended_by_a_limit_that_grows_with_the_samples(run, monkeypatch):
    limits = []
    real = Binding._ask

    def ask(self, python, mode, request, timeout_s):
        limits.append(timeout_s)
        return real(self, python, mode, request, timeout_s if mode == "version" else 1.0)

    monkeypatch.setattr(Binding, "_ask", ask)
    with pytest.raises(TimedOutError, match="must end within 1 s"):
        run(fault="hangs")
    assert limits[1] == limits[0] + 3 * binding._SAMPLE_S


def test_the_doctor_is_told_of_the_binding_or_what_mends_it(built, tmp_path):
    jetson, _ = built(VERSION)

    def extra(*pythons):
        (one,) = runner(jetson, *pythons).extras()
        return one

    good, none = install_binding(tmp_path / "a", f"{VERSION}.6"), install_binding(tmp_path / "b", None)
    assert extra(none, good) == Extra(name="tensorrt for Python", found=f"{VERSION}, {good}", usable=True)
    missing = extra(none)
    assert (missing.usable, missing.mend) == (False, "sudo apt-get install python3-libnvinfer")
    assert "No module named 'tensorrt'; logits come from one process of trtexec a sample, some seconds each" in missing.found
    other = extra(install_binding(tmp_path / "c", "8.5.2.2"))
    assert "must be of trtexec's version 8.6.1, or it cannot read its engines; it is 8.5.2.2" in other.found
    assert (other.usable, other.mend) == (False, "sudo apt-get install python3-libnvinfer libnvinfer-bin")
    assert "crashed with SIGSEGV" in extra(install_binding(tmp_path / "d", VERSION, fault="crashes")).found
    assert "could not be started" in extra(tmp_path / "no-python").found


@pytest.mark.thorough
def test_over_ssh_the_boards_own_python_runs_an_engine_that_its_own_trtexec_built(tmp_path, graph, samples, target, caplog):
    trtexec = install_trtexec(tmp_path / "bin", "8.2.1")
    (tmp_path / "bin" / "python3").symlink_to(install_binding(tmp_path / "python", "8.2.1.8"))
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    with LoopbackBoard(tmp_path / "board", environment=environment) as board, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", board.path_with_client())
        there = device_of(board.device)
        place = Place(link=there.link, lease=there.lease, folder=tmp_path / "references", fingerprint=there.fingerprint)
        backend = BACKENDS["tensorrt"](place)
        backend.builder.build(graph, variant=FP32, target=target, out=tmp_path / "engine")
        backend.board.infer(tmp_path / "engine", samples, variant=FP32, target=target, out=tmp_path / "logits.npy")
        (extra,) = backend.extras()
    assert extra.found == f"8.2.1, {trtexec.with_name('python3')}"
    expected = logits_by_onnxruntime(graph.read_bytes(), np.load(samples))
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected)
    assert not caplog.records


def test_libcudart_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(logits_program, "places", lambda: iter(["libno-such-cudart.so"]))
    monkeypatch.setattr(logits_program.importlib, "import_module", lambda _: None)
    said = logits_program.version({})
    assert said["lacks"] == "libcudart"
    assert said["absent"].startswith("there is no libcudart where the linker looks, nor in /usr/local/cuda/lib64")


def test_the_program_is_python_3_6_and_its_standard_library():
    tree = ast.parse(PROGRAM.read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    standard = {"ast", "contextlib", "ctypes", "ctypes.util", "glob", "importlib", "json", "os", "signal", "struct", "sys", "typing"}
    assert imported == standard
