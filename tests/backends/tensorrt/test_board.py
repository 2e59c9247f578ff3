"""Timing through trtexec, with the stand-in: the figures that it writes come back, by the rules of each version."""

import dataclasses
import functools
import json
import re

import numpy as np
import pytest
from contracts.board import BoardContract
from fakes.graphs import logits_by_onnxruntime, write_graph, write_samples
from fakes.jetson import EMULATED, FakeJetson

from autokd_edge.backends.tensorrt.board import TrtexecBoard
from autokd_edge.backends.tensorrt.trtexec import Trtexec
from autokd_edge.conformance.layer_timer import LayerTimerContract
from autokd_edge.core.target import Variant
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import MeasureError

FP16 = Variant(backend="tensorrt", precision="fp16")


pytestmark = pytest.mark.slow  # a reading is a dozen processes


class TestTrtexecBoard(BoardContract):
    @pytest.fixture
    def origin(self):
        return "emulated"


class TestTrtexecLayerTimer(LayerTimerContract):
    pass


@pytest.fixture(scope="module")
def read(tmp_path_factory, protocol, target):
    """Builds the small graph and measures it on a board; equal questions are asked once, because a reading is a value."""

    @functools.cache
    def measure(version="8.6.1", *, precision="fp16", fault=""):
        folder = tmp_path_factory.mktemp("read")
        jetson = FakeJetson(folder, version, fault=fault)
        variant = dataclasses.replace(FP16, precision=precision)
        jetson.builder.build(write_graph(folder / "graph.onnx"), variant=variant, target=target, out=folder / "engine")
        return jetson.board.measure(folder / "engine", variant=variant, target=target, protocol=protocol)

    return measure


COMPUTE_NS = (0.05 + (72 + 2 * 576 + 40) * 2e-5) * 0.6 * 1e6  # what the stand-in makes of this graph in fp16


@pytest.mark.parametrize("version", ["8.2.1", "8.6.1", "10.3.0"])
def test_the_median_is_that_of_the_gpus_compute_without_warm_up_and_copies(read, version):
    reading = read(version) if version != "8.6.1" else read()
    assert reading.toolchain["tensorrt"] == version
    # The stand-in's runs are 0 to 1.6 % over the base, those of its warm-up twice as long.
    assert reading.median_ns == pytest.approx(1.008 * COMPUTE_NS, rel=0.005)
    assert max(max(block) for block in reading.blocks_ns) < 1.02 * COMPUTE_NS
    assert reading.toolchain["tensorrt/h2d"] == "median 10000 ns"
    assert reading.toolchain["tensorrt/d2h"] == "median 2000 ns"
    timed, kept = re.fullmatch(r"(\d+) timed, (\d+) kept", reading.toolchain["tensorrt/runs"]).groups()
    assert int(timed) >= int(kept) == reading.count


def test_the_flags_of_a_block_and_the_gpu_stand_beside_the_numbers(read):
    reading = read()
    assert "--warmUp=2" in reading.toolchain["tensorrt/flags"]
    assert "--useSpinWait" in reading.toolchain["tensorrt/flags"]
    assert reading.toolchain["tensorrt/gpu"] == "stand-in, compute capability 8.7"


@pytest.mark.parametrize(("precision", "executed"), [("fp32", "f32"), ("fp16", "f16")])
def test_the_precision_that_ran_is_read_from_the_engine(read, precision, executed):
    reading = read(precision=precision)
    assert set(reading.executed) == {executed}
    assert "executed-precision-differs" not in reading.flags


def test_an_engine_that_runs_in_another_precision_is_flagged(tmp_path, protocol, target):
    jetson = FakeJetson(tmp_path)
    jetson.builder.build(
        write_graph(tmp_path / "g.onnx"), variant=dataclasses.replace(FP16, precision="fp32"), target=target, out=tmp_path / "e"
    )
    reading = jetson.board.measure(tmp_path / "e", variant=FP16, target=target, protocol=protocol)
    assert "executed-precision-differs" in reading.flags


def test_two_scopes_of_memory_are_read(read):
    memory = read().memory
    assert memory.peak_rss_bytes > 10_000_000  # the stand-in imports numpy
    assert memory.null_rss_bytes > 10_000_000
    assert memory.available_drop_bytes is not None


class FakeMemoryLink(LocalLink):
    """This machine, whose available memory falls as told: to a null engine 600, 900 and 610 MB, to another 700 MB."""

    def run(self, argv, *, stdin, timeout_s):
        done = super().run(argv, stdin=stdin, timeout_s=timeout_s)
        jobs, answer, nulls = json.loads(stdin)["jobs"], json.loads(done.stdout), iter((600, 900, 610))
        for job, said in zip(jobs, answer["jobs"], strict=True):
            null = any("/null-" in argument for argument in job["arguments"] if argument.startswith("--loadEngine="))
            said["available_drop_bytes"] = 10**6 * (next(nulls) if null else 700)
        return dataclasses.replace(done, stdout=json.dumps(answer).encode())


def test_the_drop_of_available_memory_is_stated_with_that_of_a_null_engine(tmp_path, protocol, target):
    jetson = FakeJetson(tmp_path, "8.6.1")
    trtexec = Trtexec(link=FakeMemoryLink(), places=jetson.trtexec.places)
    board = TrtexecBoard(trtexec, jetson.builder, jetson.place, jetson.logits)
    jetson.builder.build(write_graph(tmp_path / "g.onnx"), variant=FP16, target=target, out=tmp_path / "e")
    memory = board.measure(tmp_path / "e", variant=FP16, target=target, protocol=protocol).memory
    assert (memory.available_drop_bytes, memory.null_drop_bytes, memory.engine_drop_bytes) == (700_000_000, 610_000_000, 90_000_000)


def test_flags_of_the_board_name_launches_power_mode_heat_and_another_runtime(tmp_path, protocol, target):
    """One reading with all four, one with none."""
    good = FakeJetson(tmp_path, "8.6.1", fingerprint=dataclasses.replace(EMULATED, power_mode="MAXN_SUPER"))
    good.builder.build(write_graph(tmp_path / "g.onnx"), variant=FP16, target=target, out=tmp_path / "e")
    flags = set(good.board.measure(tmp_path / "e", variant=FP16, target=target, protocol=protocol).flags)
    of_interest = {"launch-bound", "power-mode-reduced", "throttled", "runtime-not-as-described"}
    assert not flags & of_interest
    hot = dataclasses.replace(EMULATED, power_mode="7W", throttled=("throttled",))
    bad = FakeJetson(tmp_path / "bad", "8.6.1", fault="launch-bound", fingerprint=hot)
    other = dataclasses.replace(target, runtime_versions={"tensorrt": "10.0 - 10.3"})
    assert of_interest < set(bad.board.measure(tmp_path / "e", variant=FP16, target=other, protocol=protocol).flags)


def test_the_boards_clocks_are_read_after_the_blocks_too(tmp_path, protocol, target):
    """Locked by jetson_clocks, which leaves the governors alone; the second time the clock falls meanwhile."""
    locked = dataclasses.replace(EMULATED, governor="schedutil", gpu_khz=918_000, gpu_locked=True)
    free = dataclasses.replace(locked, governor="performance", gpu_locked=False)
    states = iter([locked, locked, locked, dataclasses.replace(locked, gpu_khz=611_000), free, free])
    jetson = FakeJetson(tmp_path, "8.6.1")
    place = dataclasses.replace(jetson.place, fingerprint=lambda: next(states))
    board = TrtexecBoard(jetson.trtexec, jetson.builder, place, jetson.logits)
    jetson.builder.build(write_graph(tmp_path / "g.onnx"), variant=FP16, target=target, out=tmp_path / "e")
    steady, fallen, wandering = (
        set(board.measure(tmp_path / "e", variant=FP16, target=target, protocol=protocol).flags) & {"clocks-unlocked", "throttled"}
        for _ in range(3)
    )
    assert (steady, fallen, wandering) == (set(), {"throttled"}, {"clocks-unlocked"})


def test_a_trace_that_is_garbage_is_a_measure_error(read):
    with pytest.raises(MeasureError, match="must export the times of its inferences"):
        read(fault="garbage")


def test_an_engine_of_another_version_is_refused_with_what_trtexec_said(tmp_path, protocol, target):
    old, new = FakeJetson(tmp_path, "8.6.1"), FakeJetson(tmp_path, "10.3.0")
    old.builder.build(write_graph(tmp_path / "g.onnx"), variant=FP16, target=target, out=tmp_path / "e")
    with pytest.raises(MeasureError, match=r"trtexec did not run the engine: .*Engine deserialization failed"):
        new.board.measure(tmp_path / "e", variant=FP16, target=target, protocol=protocol)


@pytest.mark.parametrize("version", ["8.2.1", "10.3.0"])
def test_layers_have_times_and_precisions(tmp_path, version, target):
    jetson = FakeJetson(tmp_path, version)
    jetson.builder.build(write_graph(tmp_path / "g.onnx"), variant=FP16, target=target, out=tmp_path / "e")
    layers = jetson.board.layers(tmp_path / "e", variant=FP16, target=target)
    assert [layer.name for layer in layers] == [*"abcdefgh", "logits"]
    assert {layer.precision for layer in layers} == {"f16"}
    assert layers[0].kind == "Conv"
    assert sum(layer.mean_ns for layer in layers) == pytest.approx(COMPUTE_NS, rel=0.01)


def test_the_sentinel_is_timed_before_and_after(read):
    sentinel = read().sentinel
    assert sentinel.before_ns == sentinel.after_ns > 0


def test_logits_that_trtexec_rounds_to_six_digits_stay_near(tmp_path, target):
    jetson = FakeJetson(tmp_path)
    graph, samples = write_graph(tmp_path / "g.onnx"), write_samples(tmp_path / "s.npy", 2)
    jetson.builder.build(graph, variant=FP16, target=target, out=tmp_path / "e")
    jetson.board.infer(tmp_path / "e", samples, variant=FP16, target=target, out=tmp_path / "l.npy")
    np.testing.assert_allclose(
        np.load(tmp_path / "l.npy"), logits_by_onnxruntime(graph.read_bytes(), np.load(samples)), rtol=1e-4, atol=1e-4
    )
