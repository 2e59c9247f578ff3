"""Engines for Arm, run by an emulator: their numbers, and what their readings call themselves."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from contracts.board import BoardContract
from fakes.emulated import EmulatedLink
from fakes.graphs import logits_by_onnxruntime, write_graph, write_samples
from students.networks import arrays_of, run_onnx, trained_like

from autokd_edge.backends.tvm.known_tiles import KnownTiles
from autokd_edge.backends.tvm.tuner import TVMTuner
from autokd_edge.conformance.networks import SHAPES, STUDENT_OPS
from autokd_edge.conformance.networks import student as student_of
from autokd_edge.devices.board import Place
from autokd_edge.devices.lease import Lease
from autokd_edge.errors import BuildError, MeasureError
from autokd_edge.ports import Finished
from autokd_edge.students.lower_onnx import onnx_from_spec

COUNTER = Path(__file__).parents[3] / "tools" / "emulated" / "insn_counter.c"
EMULATOR = shutil.which("qemu-aarch64")  # of Debian's qemu-user; the static one loads no plugins
NETWORKS = {"odd channels": SHAPES["odd channels"], **{op: student_of(op) for op in STUDENT_OPS}}


def place_of(link, folder):
    return Place(link=link, lease=Lease(folder / "lock"), folder=folder, fingerprint=link.fingerprint)


@pytest.fixture
def student(tmp_path):
    def write(spec, count):
        model = onnx_from_spec(spec, arrays_of(trained_like(spec, seed=1)))
        (tmp_path / "student.onnx").write_bytes(model.SerializeToString(deterministic=True))
        samples = np.random.default_rng(3).standard_normal((count, *spec.input), dtype=np.float32)
        np.save(tmp_path / "samples.npy", samples)
        return tmp_path / "student.onnx", tmp_path / "samples.npy"

    return write


@pytest.mark.slow
class TestEmulatedBoard(BoardContract):
    @pytest.fixture
    def board(self, a72):
        return a72

    @pytest.fixture
    def target(self, pi4):
        return pi4

    @pytest.fixture
    def origin(self):
        return "emulated"


@pytest.mark.slow
@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_float_logits_on_arm_are_those_of_onnx_runtime_to_five_digits(spec, student, builder, variant, pi4, a72, tmp_path):
    graph, samples = student(spec, 3)
    builder.build(graph, variant=variant, target=pi4, out=tmp_path / "engine")
    a72.infer(tmp_path / "engine", samples, variant=variant, target=pi4, out=tmp_path / "logits.npy")
    expected = logits_by_onnxruntime(graph.read_bytes(), np.load(samples))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("core", ["a72", "a76"])
def test_quantised_logits_on_arm_are_those_of_the_quantised_graph(core, builder, quantizer, int8, request, tmp_path):
    board, target = request.getfixturevalue(core), request.getfixturevalue({"a72": "pi4", "a76": "pi5"}[core])
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
    quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
    builder.build(tmp_path / "q.onnx", variant=int8, target=target, out=tmp_path / "engine")
    board.infer(tmp_path / "engine", samples, variant=int8, target=target, out=tmp_path / "logits.npy")
    expected = run_onnx(onnx.load(tmp_path / "q.onnx"), np.load(samples))
    assert np.abs(np.load(tmp_path / "logits.npy") - expected).max() < 0.02 * expected.std()


@pytest.mark.slow
def test_an_engine_for_arm_is_refused_by_this_machine(builder, board, variant, pi4, target, tmp_path):
    builder.build(write_graph(tmp_path / "g.onnx"), variant=variant, target=pi4, out=tmp_path / "engine")
    np.save(tmp_path / "samples.npy", np.zeros((1, 1, 12, 12), np.float32))
    with pytest.raises(MeasureError, match="must be built for the machine that runs it, x86_64; this one is for aarch64"):
        board.infer(tmp_path / "engine", tmp_path / "samples.npy", variant=variant, target=target, out=tmp_path / "logits.npy")


@pytest.mark.slow
def test_a_processor_without_what_an_engine_needs_is_told_in_one_sentence(builder, variant, pi5, a72, tmp_path):
    builder.build(write_graph(tmp_path / "g.onnx"), variant=variant, target=pi5, out=tmp_path / "engine")
    samples = write_samples(tmp_path / "samples.npy", 2)
    with pytest.raises(MeasureError, match="this engine needs a processor with dotprod, fullfp16; the one here lacks something of it"):
        a72.infer(tmp_path / "engine", samples, variant=variant, target=pi5, out=tmp_path / "logits.npy")


@pytest.mark.thorough
def test_half_precision_runs_where_the_processor_has_it_and_is_read_back(student, builder, variant, pi5, a76, protocol, tmp_path):
    half = replace(variant, precision="fp16")
    graph, samples = student(NETWORKS["separable"], 3)
    builder.build(graph, variant=half, target=pi5, out=tmp_path / "engine")
    a76.infer(tmp_path / "engine", samples, variant=half, target=pi5, out=tmp_path / "logits.npy")
    expected = logits_by_onnxruntime(graph.read_bytes(), np.load(samples))
    difference = np.abs(np.load(tmp_path / "logits.npy") - expected).max()
    assert 0 < difference < 0.02 * expected.std()  # 11 bits of each number are kept
    reading = a76.measure(tmp_path / "engine", variant=half, target=pi5, protocol=protocol)
    assert reading.executed["f16"] > 20 * reading.executed["f32"]
    assert "executed-precision-differs" not in reading.flags


def test_half_precision_is_refused_where_the_processor_has_none(builder, variant, pi4, target, tmp_path):
    for where in (pi4, target):
        with pytest.raises(BuildError, match=r"tvm/fp16 needs 16-bit arithmetic, asimdhp of Arm; target .* has none\. Hint: use tvm/fp32"):
            builder.build(
                write_graph(tmp_path / "g.onnx"), variant=replace(variant, precision="fp16"), target=where, out=tmp_path / "engine"
            )


def counted(folder, engine, runs):
    """Count the instructions of a program with the plugin of the emulated board."""
    plugin, counter = folder / "insn_counter.so", folder / "counter"
    if not plugin.exists():
        subprocess.run([shutil.which("gcc"), "-shared", "-fPIC", "-O2", "-o", plugin, COUNTER], check=True)
    counter.write_bytes(b"")
    argv = [EMULATOR, "-cpu", "max", "-plugin", f"{plugin},counter={counter}", engine, "repeat", str(runs)]
    said = subprocess.run(argv, check=True, capture_output=True).stdout
    assert said == b'{"runs":%d}\n' % runs
    return int.from_bytes(counter.read_bytes()[:8], "little")


@pytest.mark.skipif(  # instructions are counted by QEMU alone; `make test` installs it as root, and who is not is told the packages
    EMULATOR is None or shutil.which("gcc") is None,
    reason="instructions are counted by a plugin of qemu-aarch64 that gcc compiles; missing here: apt-get install qemu-user gcc libc6-dev",
)
def test_what_is_counted_goes_by_no_clock(builder, variant, pi5, tmp_path):
    builder.build(write_graph(tmp_path / "graph.onnx"), variant=variant, target=pi5, out=tmp_path / "engine")
    (tmp_path / "engine").chmod(0o700)
    one, six, eleven = (counted(tmp_path, tmp_path / "engine", runs) for runs in (1, 6, 11))
    assert 1000 < (six - one) / 5 == pytest.approx((eleven - six) / 5, rel=1e-3)


class Untimed(EmulatedLink):
    """Does not run whole engines for the time that they take, which says nothing here."""

    def run(self, argv, *, stdin, timeout_s):
        if argv[1] == "sentinel":
            return Finished(status=0, stdout=b'{"median_ns": 1000}', stderr=b"")
        return super().run(argv, stdin=stdin, timeout_s=timeout_s)


@pytest.mark.thorough
@pytest.mark.parametrize(("core", "precision"), [("a72", "fp32"), ("a72", "int8"), ("a76", "fp16"), ("a76", "int8")])
def test_every_tile_makes_the_rules_numbers_on_arm(core, precision, backend, variant, student, request, tmp_path):
    target = request.getfixturevalue({"a72": "pi4", "a76": "pi5"}[core])
    link = Untimed({"a72": "cortex-a72", "a76": "max"}[core])
    graph, samples = student(NETWORKS["separable"], 8)
    asked = replace(variant, precision=precision)
    if precision == "int8":
        backend.quantizer.quantize(graph, samples, variant=asked, target=target, out=tmp_path / "q.onnx")
        graph = tmp_path / "q.onnx"
    tuner = TVMTuner(backend.builder, place_of(link, tmp_path), KnownTiles(tmp_path / "known"))
    tuning = tuner.tune(graph, variant=asked, target=target, most=2, out=tmp_path / "out.onnx")
    assert tuning.failed == {}
    assert tuning.candidates == 2 * tuning.workloads
