"""The stages of one network on its way to a reading; each finds what was made before by its key.

Keys name everything that decides the bytes and nothing else: a graph by spec and weights, an engine
by graph, variant, build facts and toolchain. Limits are in no key. Readings are never found again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from autokd_edge.core.artifact import Artifact, Kind
from autokd_edge.core.codec import Json, decode, encode
from autokd_edge.core.digest import Digest, digest_of_file, digest_of_json
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.quantization import FineTuningRecipe, QuantizeReport
from autokd_edge.core.student import StudentSpec
from autokd_edge.core.target import Target, Variant
from autokd_edge.core.tuning import Tuning
from autokd_edge.errors import BuildError, GradeError, MeasureError, QuantizeError, StageError
from autokd_edge.ports import ArtifactStore, Backend, FineTuner, ImageSets, Split
from autokd_edge.students.lower_onnx import onnx_from_spec

Weights = Mapping[str, npt.NDArray[np.float32]]
_Report = TypeVar("_Report", QuantizeReport, Tuning)
_ANEW = "start a new run with another --out"
UNTRAINED = "untrained"
UNTRAINED_SAMPLES = 4  # the ranges that they give decide nothing about the speed of a network with random weights


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How the quantised graphs of one network are tuned; what is begun lies in ``folder``."""

    tuner: FineTuner
    recipe: FineTuningRecipe
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Graph, quantisation, engine, reading and grade of networks on one target."""

    target: Target
    backends: Mapping[str, Backend]
    images: ImageSets
    store: ArtifactStore

    def untrained_graph(self, spec: StudentSpec, variant: Variant) -> Artifact:
        """Lower a spec with random weights from its own seed; for int8 quantise it by noise, which takes as long to run."""
        graph = self._graph(spec, UNTRAINED, lambda: None)
        if not needs_quantizing(variant):
            return graph
        with tempfile.TemporaryDirectory() as folder:
            noise = Path(folder) / "noise.npy"
            np.save(noise, np.random.default_rng(spec.seed).standard_normal((UNTRAINED_SAMPLES, *spec.input), dtype=np.float32))
            return self._quantized(graph, noise, variant)[0]

    def taught_graph(self, spec: StudentSpec, checkpoint: Artifact) -> Artifact:
        """Lower a spec with taught weights (safetensors)."""
        return self._graph(spec, checkpoint.digest, lambda: load_file(self.store.path(checkpoint)))

    def given_graph(self, spec: StudentSpec, weights: Weights, digest: Digest) -> Artifact:
        """Lower a spec with weights at hand; ``digest`` names them."""
        return self._graph(spec, digest, lambda: weights)

    def teacher_graph(self, digest: Digest, write: Callable[[Path], None]) -> Artifact:
        """Keep the graph of a teacher; ``digest`` names what ``write`` writes."""
        return self._made("graph", ["teacher", digest], write)

    def quantized(self, graph: Artifact, variant: Variant, keep: Sequence[str] = ()) -> tuple[Artifact, QuantizeReport]:
        """Quantise a graph with calibration images, ``keep`` left in float, and say what that did to each layer."""
        samples, _ = self.images.inputs("calibration")
        return self._quantized(graph, samples, variant, keep)

    def _quantized(self, graph: Artifact, samples: Path, variant: Variant, keep: Sequence[str] = ()) -> tuple[Artifact, QuantizeReport]:
        backend = self.backends[variant.backend]
        facts = [str(variant), self.target.int8_saturates, list(self.target.isa_flags), list(keep), dict(backend.builder.toolchain())]
        recipe = [graph.digest, digest_of_file(samples), facts]

        def make(out: Path) -> QuantizeReport:
            return backend.quantizer.quantize(self.store.path(graph), samples, variant=variant, target=self.target, out=out, keep=keep)

        lost = QuantizeError("the report of a quantised graph must lie beside it; it is gone", hint=_ANEW)
        return self._made_and_told("quantized", recipe, make, QuantizeReport, lost)

    def fine_tuned(self, graph: Artifact, tuning: FineTuning) -> Artifact:
        """Tune a quantised graph; raises TeachError."""
        recipe = ["fine-tuned", graph.digest, encode(tuning.recipe)]

        def make(out: Path) -> None:
            made = tuning.folder / f"{digest_of_json(recipe)}.onnx"  # a place that a killed run finds again
            tuning.tuner.tune(self.store.path(graph), tuning.recipe, out=made)
            shutil.copyfile(made, out)

        return self._made("quantized", recipe, make)

    def engine(self, graph: Artifact, variant: Variant) -> Artifact:
        """Build an engine."""
        builder = self.backends[variant.backend].builder
        machine = [self.target.architecture, list(self.target.isa_flags), self.target.threads]
        facts = [*machine, self.target.opset_max, self.target.static_shapes_only]
        recipe = [graph.digest, str(variant), facts, dict(builder.toolchain())]
        return self._made("engine", recipe, lambda out: builder.build(self.store.path(graph), variant=variant, target=self.target, out=out))

    def tuned(self, graph: Artifact, variant: Variant, most: int) -> tuple[Artifact, Tuning | None]:
        """Tune the engine of a graph on the device; returns the graph that it is built from, and None where the backend has no tuner.

        What was found is kept with the graph: asked again, the same choices are given.
        """
        backend = self.backends[variant.backend]
        tuner = backend.tuner
        if tuner is None:
            return graph, None
        machine = [self.target.architecture, list(self.target.isa_flags), self.target.threads]
        recipe = ["tuned", graph.digest, str(variant), machine, most, dict(backend.builder.toolchain())]

        def make(out: Path) -> Tuning:
            return tuner.tune(self.store.path(graph), variant=variant, target=self.target, most=most, out=out)

        lost = BuildError("the report of a tuned graph must lie beside it; it is gone", hint=_ANEW)
        return self._made_and_told("graph", recipe, make, Tuning, lost)

    def measurement(self, engine: Artifact, variant: Variant, protocol: Protocol) -> Measurement:
        """Read an engine's latency and memory on the target."""
        board = self.backends[variant.backend].board
        return board.measure(self.store.path(engine), variant=variant, target=self.target, protocol=protocol)

    def logits(self, engine: Artifact, variant: Variant, inputs: Path) -> npt.NDArray[np.float32]:
        """Run an engine on images ``(n, c, h, w)`` (.npy); logits ``(n, classes)``."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "logits.npy"
            board = self.backends[variant.backend].board
            board.infer(self.store.path(engine), inputs, variant=variant, target=self.target, out=out)
            found: npt.NDArray[np.float32] = np.load(out, allow_pickle=False)
        return found

    def accuracy(self, engine: Artifact, variant: Variant, split: Split) -> float:
        """Grade an engine on a split, in %; raises GradeError where it does not run."""
        inputs, labels = self.images.inputs(split)
        try:
            right = self.logits(engine, variant, inputs).argmax(axis=1) == labels
        except MeasureError as error:
            raise GradeError(error.args[0], hint=error.hint, retryable=error.retryable) from error
        return 100 * float(right.mean())

    def _graph(self, spec: StudentSpec, weights: str, load: Callable[[], Weights | None]) -> Artifact:
        def make(out: Path) -> None:
            out.write_bytes(onnx_from_spec(spec, load()).SerializeToString(deterministic=True))

        return self._made("graph", [encode(spec), weights], make)

    def _made_and_told(
        self, kind: Kind, recipe: Json, make: Callable[[Path], _Report], shape: type[_Report], lost: StageError
    ) -> tuple[Artifact, _Report]:
        """Find an artifact and the report of its making by their recipe, or make both; raises ``lost`` where the report is gone."""
        key = digest_of_json(["report", recipe])

        def told(out: Path) -> None:
            report = out.with_suffix(".json")
            report.write_text(json.dumps(encode(make(out))))
            self.store.put("report", key, report)  # before what it is of: where that is, there is its report

        made = self._made(kind, recipe, told)
        report = self.store.find("report", key)
        if report is None:
            raise lost
        return made, decode(shape, json.loads(self.store.path(report).read_text()))

    def _made(self, kind: Kind, recipe: Json, make: Callable[[Path], None]) -> Artifact:
        """Find an artifact by its recipe, or make it."""
        key = digest_of_json([kind, recipe])
        found = self.store.find(kind, key)
        if found is not None:
            return found
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / f"made.{_SUFFIXES[kind]}"
            make(out)
            return self.store.put(kind, key, out)


def needs_quantizing(variant: Variant) -> bool:
    """Say whether a variant's engines are built from quantised graphs."""
    return variant.precision == "int8"


_SUFFIXES: Mapping[Kind, str] = {"graph": "onnx", "quantized": "onnx", "engine": "blob"}
