"""The stages of one network on its way to a reading; each finds what was made before by its key.

Keys name everything that decides the bytes and nothing else: a graph by spec and weights, an engine
by graph, variant, build facts and toolchain. Limits are in no key. Readings are never found again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from autokd_edge.core.artifact import Artifact, Kind
from autokd_edge.core.codec import Json, encode
from autokd_edge.core.digest import Digest, digest_of_file, digest_of_json
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.student import StudentSpec
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import GradeError, MeasureError
from autokd_edge.ports import ArtifactStore, Backend, ImageSets, Split
from autokd_edge.students.lower_onnx import onnx_from_spec

Weights = Mapping[str, npt.NDArray[np.float32]]
UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Graph, quantisation, engine, reading and grade of networks on one target."""

    target: Target
    backends: Mapping[str, Backend]
    images: ImageSets
    store: ArtifactStore

    def untrained_graph(self, spec: StudentSpec) -> Artifact:
        """Lower a spec with random weights from its own seed."""
        return self._graph(spec, UNTRAINED, lambda: None)

    def taught_graph(self, spec: StudentSpec, checkpoint: Artifact) -> Artifact:
        """Lower a spec with taught weights (safetensors)."""
        return self._graph(spec, checkpoint.digest, lambda: load_file(self.store.path(checkpoint)))

    def given_graph(self, spec: StudentSpec, weights: Weights, digest: Digest) -> Artifact:
        """Lower a spec with weights at hand; ``digest`` names them."""
        return self._graph(spec, digest, lambda: weights)

    def engine_graph(self, graph: Artifact, variant: Variant) -> Artifact:
        """Return the graph that a variant is built from: quantised for int8, the float one otherwise."""
        if variant.precision != "int8":
            return graph
        backend = self.backends[variant.backend]
        samples, _ = self.images.inputs("calibration")
        recipe = [graph.digest, digest_of_file(samples), str(variant), self.target.int8_saturates, dict(backend.builder.toolchain())]

        def make(out: Path) -> None:
            backend.quantizer.quantize(self.store.path(graph), samples, variant=variant, target=self.target, out=out)

        return self._made("quantized", recipe, make)

    def engine(self, graph: Artifact, variant: Variant) -> Artifact:
        """Build an engine."""
        builder = self.backends[variant.backend].builder
        facts = [self.target.architecture, self.target.threads, self.target.opset_max, self.target.static_shapes_only]
        recipe = [graph.digest, str(variant), facts, dict(builder.toolchain())]
        return self._made("engine", recipe, lambda out: builder.build(self.store.path(graph), variant=variant, target=self.target, out=out))

    def measurement(self, engine: Artifact, variant: Variant, protocol: Protocol) -> Measurement:
        """Read an engine's latency and memory on the target."""
        board = self.backends[variant.backend].board
        return board.measure(self.store.path(engine), variant=variant, target=self.target, protocol=protocol)

    def logits(self, engine: Artifact, variant: Variant, inputs: Path) -> npt.NDArray[np.float32]:
        """Run an engine on images ``(n, c, h, w)`` (.npy); logits ``(n, classes)``."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "logits.npy"
            self.backends[variant.backend].board.infer(self.store.path(engine), inputs, target=self.target, out=out)
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


_SUFFIXES: Mapping[Kind, str] = {"graph": "onnx", "quantized": "onnx", "engine": "blob"}
