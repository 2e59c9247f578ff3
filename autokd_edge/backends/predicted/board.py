"""Stand in for a board that is not here: latency and memory predicted from recorded readings, logits by ONNX Runtime here.

An engine is the graph that the board's compiler would build. Nothing here is ever called measured.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from autokd_edge.backends.predicted.counts import counts_of
from autokd_edge.backends.predicted.model import BEYOND, CountModel, CrossValidated, fitted
from autokd_edge.core.codec import encode
from autokd_edge.core.digest import Digest, digest_of_file, digest_of_json
from autokd_edge.core.measure import Measurement, Memory, Prediction, Protocol, Sentinel
from autokd_edge.core.recording import RecordedVariant, Recording
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import BuildError, MeasureError
from autokd_edge.ports import Backend

# Where latencies are asked for as samples, these many quantiles of the prediction's own error stand for them: a
# percentile and its upper bound then hold what the model does not know. A p99.9 is supported by 6,900 and not by these.
QUANTILES = 1_000
COMPUTED_BY = "onnxruntime on this machine, of the graph"
CLOCK = "none: predicted from recorded readings"


class GraphBuilder:
    """Builds nothing: keeps the graph that the board's compiler is to build."""

    def __init__(self, recorded: Mapping[str, str], recording: Digest) -> None:
        self._toolchain = {**recorded, "predicted/recording": recording}

    def toolchain(self) -> Mapping[str, str]:
        """Return the versions that were recorded, and what was recorded."""
        return self._toolchain

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:  # noqa: ARG002  the port's signature
        """Copy the graph; raises BuildError where it is none."""
        try:
            onnx.checker.check_model(onnx.load(graph))
        except (DecodeError, onnx.checker.ValidationError, UnicodeError, OSError) as error:
            raise BuildError(f"a graph to predict must be ONNX; {error}") from error
        shutil.copyfile(graph, out)


class PredictedBoard:
    """Predicts readings in one backend's variants; ``runner`` is ONNX Runtime on this machine, which gives the logits."""

    def __init__(self, recording: Recording, digest: Digest, runner: Backend) -> None:
        self._recording = recording
        self._digest = digest
        self._runner = runner
        self._models: dict[Variant, tuple[CountModel, CountModel, Prediction, CrossValidated]] = {}

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Predict a reading; the network is flagged ``extrapolated`` where it is beyond the recorded ones.

        Raises:
            MeasureError: the variant was not recorded, or the graph's shapes are not known.
            InputError: too few networks were recorded.
        """
        recorded = self._recorded(variant)
        graph = onnx.load(engine)
        counts = counts_of(graph)
        latency, memory, prediction, error = self._fitted(variant)
        median_ns, engine_bytes = latency.predict(counts), memory.predict(counts)
        shares = np.quantile(error.residuals, (np.arange(QUANTILES) + 0.5) / QUANTILES)
        return Measurement(
            origin="predicted",
            target=target.name,
            variant=variant,
            engine=digest_of_file(engine),
            protocol=protocol.name,
            protocol_digest=digest_of_json(encode(protocol)),
            toolchain=dict(recorded.toolchain),
            fingerprint=self._recording.fingerprint,
            clock=CLOCK,
            threads=target.threads,
            blocks_ns=(tuple(max(1, round(median_ns * float(np.exp(share)))) for share in shares),),
            memory=Memory(peak_rss_bytes=recorded.null_rss_bytes + round(engine_bytes), null_rss_bytes=recorded.null_rss_bytes),
            executed={},
            sentinel=Sentinel(before_ns=recorded.sentinel_ns, after_ns=recorded.sentinel_ns),
            flags=("extrapolated",) if self._beyond(graph, counts) else (),
            prediction=prediction,
        )

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Write the logits of the graph as ONNX Runtime computes them here; raises MeasureError."""
        name = self._runner.name
        here = Variant(backend=name, precision="int8" if variant.precision == "int8" else "fp32")
        with tempfile.TemporaryDirectory() as folder:
            built = Path(folder) / "engine.onnx"
            try:
                self._runner.builder.build(engine, variant=here, target=target, out=built)
            except BuildError as error:
                raise MeasureError(error.args[0], hint=error.hint, retryable=error.retryable) from error
            self._runner.board.infer(built, inputs, variant=here, target=target, out=out)

    def _fitted(self, variant: Variant) -> tuple[CountModel, CountModel, Prediction, CrossValidated]:
        if variant not in self._models:
            rows = [(n.counts, r) for n in self._recording.networks for r in n.readings if r.variant == variant]
            counts = [row[0] for row in rows]
            latency, error = fitted(counts, [float(reading.median_ns) for _, reading in rows])
            memory, memory_error = fitted(counts, [float(max(1, reading.engine_bytes)) for _, reading in rows])
            prediction = Prediction(
                recording=self._digest,
                networks=len(rows),
                mean_error=error.mean_error,
                p90_error=error.p90_error,
                rank_correlation=error.rank_correlation,
                memory_mean_error=memory_error.mean_error,
            )
            self._models[variant] = latency, memory, prediction, error
        return self._models[variant]

    def _recorded(self, variant: Variant) -> RecordedVariant:
        found = next((one for one in self._recording.variants if one.variant == variant), None)
        if found is None:
            known = ", ".join(str(one.variant) for one in self._recording.variants)
            raise MeasureError(f"a variant must have been recorded to be predicted; {variant} was not, only {known}")
        return found

    def _beyond(self, graph: onnx.ModelProto, counts: Mapping[str, int]) -> bool:
        """Say whether input or one of the totals lies off the range of the recorded ones, or a kind of operation was never recorded."""
        image = [dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim]
        totals = {**_totals(counts), "input": math.prod(image)}
        off = any(not least / BEYOND <= totals[what] <= most * BEYOND for what, (least, most) in self._ranges.items())
        return off or not set(counts) <= {name for network in self._recording.networks for name in network.counts}

    @cached_property
    def _ranges(self) -> dict[str, tuple[int, int]]:
        totals = [{**_totals(network.counts), "input": math.prod(network.input)} for network in self._recording.networks]
        return {what: (min(one[what] for one in totals), max(one[what] for one in totals)) for what in totals[0]}


def _totals(counts: Mapping[str, int]) -> dict[str, int]:
    return {what: sum(count for name, count in counts.items() if name.endswith(f" {what}")) for what in ("nodes", "macs", "bytes")}
