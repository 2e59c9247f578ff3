"""Tune engines on their board: other tiles of each kernel are timed there, each at its place in the network that it is for.

All that is needed is the link to the board over which engines are measured: a trial is a program, and so are the engines.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from autokd_edge.backends.tvm import note
from autokd_edge.backends.tvm.builder import NAME, TVMBuilder
from autokd_edge.backends.tvm.importer import input_shape
from autokd_edge.backends.tvm.known_tiles import KnownTile, KnownTiles
from autokd_edge.backends.tvm.tiles import Tile
from autokd_edge.backends.tvm.trial import SetTimes, Trial, TrialBuilder, Workload
from autokd_edge.core.codec import CodecError, Json, decode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.target import Target, Variant
from autokd_edge.core.tuning import Tuning
from autokd_edge.devices.board import Place
from autokd_edge.devices.program import ask, made_on_device
from autokd_edge.errors import MeasureError

_SET_S = 0.4  # a set is timed so long: 100 turns of a network of 2 ms; of a slower one, 20 turns
_GAIN_LEAST = 0.02  # medians of equal kernels differ by 1 % as a rule
_PAIRS = 5  # of the untuned engine and the tuned one, in turn
_RUN_S = 0.4
_RUNS_LEAST, _RUNS_MOST = 20, 2000
_TIMEOUT_S = 300.0
_SAMPLES = 4  # on which both engines must give the same bits
OTHER_NUMBERS = "made other numbers than the rule's tile"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fastest:
    """What a trial came to: the fastest tiles by kernel, how many were timed, and what failed."""

    tiles: dict[str, Tile] = field(default_factory=dict)
    timed: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class TVMTuner:
    """Tunes on the device of a place; what is learnt of single workloads is kept for the next network."""

    def __init__(self, builder: TVMBuilder, place: Place, known: KnownTiles) -> None:
        self._builder = builder
        self._place = place
        self._known = known

    def tune(self, graph: Path, *, variant: Variant, target: Target, most: int, out: Path) -> Tuning:
        """Write a graph to ``out`` that notes the fastest tiles, where their engine is faster than the rule's; else without a note.

        Raises:
            BuildError: the graph cannot be compiled.
            MeasureError: its engine does not run on the device.
            DeviceError: the device, or the way to it, failed.
        """
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"autokd-{NAME}-") as name:
            folder, model = Path(name), onnx.load(graph)
            plain = _written(note.noted(model, {}), folder / "plain.onnx")
            trials = TrialBuilder(builder=self._builder, graph=plain, variant=variant, target=target, folder=folder)
            workloads = trials.workloads(most)
            known = self._known_of(workloads, most)
            fastest = self._fastest(trials, {kernel: one for kernel, one in workloads.items() if kernel not in known}, most)
            chosen = {kernel: one.tile for kernel, one in known.items() if one.tile is not None} | fastest.tiles
            noted = note.noted(model, {workloads[kernel].workload: tile for kernel, tile in chosen.items()})
            tuned = _written(noted, folder / "tuned.onnx")
            untuned_ns, tuned_ns = self._compared(trials, plain, tuned) if chosen else (None, None)
            tuning = Tuning(
                most=most,
                workloads=len(workloads),
                known=len(known),
                candidates=fastest.timed,
                failed=dict(sorted(fastest.failed.items())),
                changed=len(chosen),
                seconds=time.monotonic() - began,
                untuned_ns=untuned_ns,
                tuned_ns=tuned_ns,
            )
            shutil.copyfile(tuned if tuning.kept else plain, out)
        return tuning

    def _known_of(self, workloads: Mapping[str, Workload], most: int) -> dict[str, KnownTile]:
        found = {kernel: self._known.find(self._key(one), most) for kernel, one in workloads.items()}
        return {kernel: one for kernel, one in found.items() if one is not None}

    def _key(self, workload: Workload) -> Digest:
        """Name a workload, what compiles it and the board; nothing of it changes from one start of the board to the next."""
        board = self._place.fingerprint()
        facts = [board.machine, board.processor, list(board.isa_flags), board.cores, board.virtual, board.emulated, board.power_mode]
        return digest_of_json([workload.workload, dict(self._builder.toolchain()), facts])

    def _fastest(self, trials: TrialBuilder, workloads: Mapping[str, Workload], most: int) -> _Fastest:
        """Time what is not known yet, and keep what was found."""
        if not workloads:
            return _Fastest()
        trial = trials.trial(workloads)
        ratios, failed = self._ratios(trial, workloads)
        tiles = {}
        for kernel, found in ratios.items():
            least, tile = min(found, key=lambda one: one[0])
            if least < 1 - _GAIN_LEAST:
                tiles[kernel] = tile
            self._known.keep(self._key(workloads[kernel]), KnownTile(most=most, tile=tiles.get(kernel)))
        return _Fastest(tiles=tiles, timed=sum(map(len, ratios.values())), failed=trial.failed + failed)

    def _ratios(self, trial: Trial, workloads: Mapping[str, Workload]) -> tuple[dict[str, list[tuple[float, Tile]]], Counter[str]]:
        """Return what each kernel's tiles took in times of the rule's, where any could be timed, and why others could not."""
        ratios: dict[str, list[tuple[float, Tile]]] = {}
        failed: Counter[str] = Counter()
        program = self._place.link.push(trial.program)
        with self._place.lease.hold("tuning"):
            for number, tiles in enumerate(trial.sets, start=1):
                try:
                    times = self._times(program, number) if tiles else None
                    found = {} if times is None else {kernel: times.ratio(workloads[kernel]) for kernel in tiles}
                except MeasureError as error:  # of this set: what the others say stands
                    failed[str(error)] += len(tiles)
                    continue
                for kernel, ratio in found.items():
                    if ratio is None:
                        failed[OTHER_NUMBERS] += 1
                    else:
                        ratios.setdefault(kernel, []).append((ratio, tiles[kernel]))
        return ratios, failed

    def _times(self, program: str, number: int) -> SetTimes:
        answer = self._asked([program, str(number), f"{_SET_S:g}"])
        try:
            return decode(SetTimes, answer)
        except CodecError as error:
            raise MeasureError(f"a trial's answer must hold the times of steps; {error}") from error

    def _compared(self, trials: TrialBuilder, plain: Path, tuned: Path) -> tuple[float, float]:
        """Build both engines whole and run them in turn; return their medians.

        Raises:
            MeasureError: one does not run, or they give other logits.
        """
        engines = [self._engine(trials, graph) for graph in (plain, tuned)]
        samples = trials.folder / "samples.npy"
        image = input_shape(onnx.load(plain))[1:]
        np.save(samples, np.random.default_rng(0).standard_normal((_SAMPLES, *image), dtype=np.float32))
        with self._place.lease.hold("comparing a tuned engine"):
            logits = [self._logits(engine, samples, trials.folder / "logits.npy") for engine in engines]
            if logits[0] != logits[1]:
                raise MeasureError("a tuned engine must give the logits of the untuned one to the bit; it gives others")
            first = max(self._median_ns(engine, _RUNS_LEAST) for engine in engines)
            runs = round(min(_RUNS_MOST, max(_RUNS_LEAST, _RUN_S * 1e9 / first)))
            pairs = [[self._median_ns(engine, runs) for engine in engines] for _ in range(_PAIRS)]
        return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)

    def _engine(self, trials: TrialBuilder, graph: Path) -> str:
        """Build an engine and return its place on the device."""
        engine = graph.with_suffix(".engine")
        self._builder.build(graph, variant=trials.variant, target=trials.target, out=engine)
        return self._place.link.push(engine)

    def _median_ns(self, engine: str, runs: int) -> float:
        return float(self._asked([engine, "sentinel", str(runs)])["median_ns"])

    def _logits(self, engine: str, samples: Path, out: Path) -> bytes:
        with made_on_device(self._place.link, out) as made:
            self._asked([engine, "infer", self._place.link.push(samples), made])
        return out.read_bytes()

    def _asked(self, argv: list[str]) -> Json:
        return ask(self._place.link, argv, None, timeout_s=_TIMEOUT_S, failure=MeasureError)


def _written(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path
