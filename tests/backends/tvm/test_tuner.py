"""Tuning on a board: what is timed, what is kept, and what happens to candidates that fail."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from fakes.graphs import write_graph, write_samples
from fakes.sshd import LoopbackBoard

from autokd_edge.backends.tvm.known_tiles import KnownTiles
from autokd_edge.backends.tvm.note import KEY, tiles_of
from autokd_edge.backends.tvm.tuner import OTHER_NUMBERS, TVMTuner
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.board import Place
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import BuildError, ConnectionLostError, MeasureError

pytestmark = pytest.mark.slow


class ToldTimes(LocalLink):
    """Runs the programs for real, and tells other times: ``ratios`` of the sets of a trial, ``engines`` of the two engines.

    A set of ratio None dies; one of ratio 0 makes other numbers.
    """

    def __init__(self, ratios, engines=(2000, 1000)):
        super().__init__()
        self.ratios, self.engines, self.trials = ratios, dict(zip(("plain", "tuned"), engines, strict=True)), 0

    def run(self, argv, *, stdin, timeout_s):
        done = super().run(argv, stdin=stdin, timeout_s=timeout_s)
        if argv[0].endswith("/trial"):
            self.trials += 1
            ratio = self.ratios[int(argv[1]) - 1]
            if ratio is None:
                return replace(done, status=-11, stdout=b"", stderr=b"the last words")
            answer = json.loads(done.stdout)
            assert all(one["same"] for one in answer["steps"])
            told = [{**one, "rule_ns": 1000, "tried_ns": 1000 * ratio, "same": ratio > 0} for one in answer["steps"]]
            return replace(done, stdout=json.dumps({"steps": told}).encode())
        if argv[1] == "sentinel":
            median = next(ns for name, ns in self.engines.items() if f"/{name}." in argv[0])
            return replace(done, stdout=json.dumps({"median_ns": median}).encode())
        return done


def tune_in(folder, link, builder, variant, target, most=2):
    """Tune the small network over a link; returns what came of it and the graph."""
    place = Place(link=link, lease=Lease(folder / "lock"), folder=folder)
    graph, out = write_graph(folder / "graph.onnx"), folder / "out.onnx"
    tuner = TVMTuner(builder, place, KnownTiles(folder / "known"))
    return tuner.tune(graph, variant=variant, target=target, most=most, out=out), onnx.load(out)


@pytest.fixture
def tuned(builder, target, variant, tmp_path):
    return lambda link, most=2: tune_in(tmp_path, link, builder, variant, target, most)


@pytest.fixture(scope="module")
def before(builder, target, variant, tmp_path_factory):
    """A network that was tuned: its folder, the link, what came of it and the graph."""
    folder, link = tmp_path_factory.mktemp("tuned"), ToldTimes([0.9, 0.5])
    return (folder, link, *tune_in(folder, link, builder, variant, target))


def test_the_fastest_tiles_are_noted_and_from_the_note_the_same_engine_is_built(before, builder, board, variant, target, tmp_path):
    folder, link, tuning, graph = before
    assert (tuning.kept, tuning.untuned_ns, tuning.tuned_ns) == (True, 2000, 1000)
    assert tuning.changed == tuning.workloads == len(tiles_of(graph)) >= 3
    assert (tuning.candidates, tuning.failed, link.trials) == (2 * tuning.workloads, {}, 2)
    engines, logits = [], []
    write_samples(tmp_path / "samples.npy", 3)
    for name in ("out.onnx", "out.onnx", "graph.onnx"):
        builder.build(folder / name, variant=variant, target=target, out=tmp_path / "engine")
        engines.append((tmp_path / "engine").read_bytes())
        board.infer(tmp_path / "engine", tmp_path / "samples.npy", variant=variant, target=target, out=tmp_path / "logits.npy")
        logits.append(np.load(tmp_path / "logits.npy"))
    assert engines[0] == engines[1] != engines[2]
    assert np.array_equal(logits[0], logits[2])


def test_what_is_known_of_a_workload_is_not_timed_again(before, builder, variant, target):
    folder, _, first, graph = before
    link = ToldTimes([])
    second, again = tune_in(folder, link, builder, variant, target)
    assert (second.known, second.candidates, link.trials) == (first.workloads, 0, 0)
    assert again == graph


@pytest.mark.parametrize(
    ("ratios", "engines", "changed"),
    [([1.0, 0.99], (2000, 1000), 0), ([0.5, 0.6], (1000, 1001), 3)],
    ids=["no tile is faster", "the engine is not"],
)
def test_what_is_no_faster_is_not_kept(ratios, engines, changed, tuned, tmp_path):
    tuning, graph = tuned(ToldTimes(ratios, engines))
    assert not tuning.kept
    assert bool(tuning.changed) == bool(changed)
    assert graph == onnx.load(tmp_path / "graph.onnx")


def test_candidates_that_die_or_make_other_numbers_are_counted_with_their_reason_and_the_others_stand(tuned):
    tuning, graph = tuned(ToldTimes([None, 0.0, 0.5]), most=3)
    assert tuning.kept
    assert len(tiles_of(graph)) == tuning.candidates > 0
    assert tuning.failed[OTHER_NUMBERS] == tuning.workloads
    (crash,) = set(tuning.failed) - {OTHER_NUMBERS}
    assert "SIGSEGV; its last line: the last words" in crash


def test_a_board_that_is_lost_ends_it_with_its_own_failure(tuned):
    class Lost(LocalLink):
        def run(self, argv, *, stdin, timeout_s):  # noqa: ARG002  the port's signature
            raise ConnectionLostError("the connection broke")

    with pytest.raises(ConnectionLostError):
        tuned(Lost())


def test_an_engine_that_does_not_run_is_a_failure(tuned):
    class Dead(ToldTimes):
        def run(self, argv, *, stdin, timeout_s):
            done = super().run(argv, stdin=stdin, timeout_s=timeout_s)
            return replace(done, status=1, stderr=b"no such processor") if argv[1] == "sentinel" else done

    with pytest.raises(MeasureError, match="no such processor"):
        tuned(Dead([0.5, 0.5]))


def test_a_noted_tile_that_does_not_fit_its_kernel_is_refused(before, builder, variant, target, tmp_path):
    graph = onnx.ModelProto()
    graph.CopyFrom(before[-1])
    entry = next(entry for entry in graph.metadata_props if entry.key == KEY)
    entry.value = json.dumps({name: {**tile, "pixels": 31} for name, tile in json.loads(entry.value).items()})
    onnx.save(graph, tmp_path / "wrong.onnx")
    with pytest.raises(BuildError, match=r"a tile must divide its kernel's loops and fit in the registers; got Tile\(pixels=31"):
        builder.build(tmp_path / "wrong.onnx", variant=variant, target=target, out=tmp_path / "engine")


@pytest.mark.thorough
def test_every_tile_of_integer_kernels_makes_the_rules_numbers_here(builder, quantizer, int8, target, tmp_path):
    graph, samples = write_graph(tmp_path / "graph.onnx", channels=32), write_samples(tmp_path / "samples.npy")
    quantizer.quantize(graph, samples, variant=int8, target=target, out=tmp_path / "q.onnx")
    place = Place(link=LocalLink(), lease=Lease(tmp_path / "lock"), folder=tmp_path)
    tuner = TVMTuner(builder, place, KnownTiles(tmp_path / "known"))
    tuning = tuner.tune(tmp_path / "q.onnx", variant=int8, target=target, most=6, out=tmp_path / "out.onnx")
    assert (tuning.failed, tuning.candidates >= 6 * 3) == ({}, True)


@pytest.mark.thorough
def test_a_board_behind_ssh_is_sent_programs_and_nothing_else(tuned, tmp_path):
    with LoopbackBoard(tmp_path / "board") as loopback:
        link = SshLink(SshConnection(ssh_address(loopback.device), client=loopback.ssh))
        tuning, _ = tuned(link)
        link.close()
    assert (tuning.failed, tuning.candidates) == ({}, 2 * tuning.workloads)
