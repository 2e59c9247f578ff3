"""Quantise until the engine's accuracy is near enough to float: graphs are tuned, and the noisiest layers go back to float."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.artifact import Artifact
from autokd_edge.core.quantization import Quantized, QuantizeReport, Tried
from autokd_edge.core.target import Variant
from autokd_edge.errors import QuantizeError, TeachError
from autokd_edge.pipeline.stages import FineTuning, Stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a quantised engine must keep: at most ``max_drop`` points below the float network's engine, in % on the validation set."""

    float_accuracy: float
    max_drop: float

    def holds(self, accuracy: float) -> bool:
        """Say whether an engine of this accuracy passes."""
        return self.float_accuracy - accuracy <= self.max_drop


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedEngine:
    """An engine whose accuracy in % on the validation set passed the gate; ``quantized`` is None where nothing was quantised."""

    graph: Artifact
    engine: Artifact
    accuracy: float
    quantized: Quantized | None


def float_engine(stages: Stages, graph: Artifact, variant: Variant) -> GatedEngine:
    """Build and grade an engine of a float variant: there is no gate."""
    engine = stages.engine(graph, variant)
    return GatedEngine(graph=graph, engine=engine, accuracy=stages.accuracy(engine, variant, "validation"), quantized=None)


def quantized_engine(stages: Stages, graph: Artifact, variant: Variant, gate: Gate, tuning: FineTuning | None = None) -> GatedEngine:
    """Build and grade a quantised engine; 1, 2, 4, ... of the noisiest layers stay in float until the gate holds.

    With ``tuning`` a graph is tuned before another layer goes back to float: tuning costs time now, a layer in float costs
    latency on every inference. Where it brings no accuracy, or fails, no other graph is tuned.

    Raises:
        QuantizeError: the drop is larger with every number of layers that was tried.
    """
    attempts = _Attempts(stages, variant, gate, tuning)
    keep: tuple[str, ...] = ()
    made, first = stages.quantized(graph, variant)
    report = first
    while True:
        found = attempts.passing(made, report, keep)
        if found is not None:
            return found
        # With all of them in float nothing would be quantised.
        more = first.worst(min(max(1, 2 * len(keep)), len(first.layers) - 1))
        if len(more) <= len(keep):
            raise attempts.refusal(len(first.layers))
        keep = more
        made, report = stages.quantized(graph, variant, keep)


class _Attempts:
    """What was tried so far to pass a gate, and whether it is still worth tuning."""

    def __init__(self, stages: Stages, variant: Variant, gate: Gate, tuning: FineTuning | None) -> None:
        self._stages = stages
        self._variant = variant
        self._gate = gate
        self._tuning = tuning
        self._tried: list[Tried] = []
        self._untunable = ""

    def passing(self, made: Artifact, report: QuantizeReport, keep: tuple[str, ...]) -> GatedEngine | None:
        """Return the engine of a quantised graph that passes, tuned where that is needed; None where it does not."""
        plain = self._graded(made, report, keep, None)
        if self._gate.holds(plain.accuracy) or self._tuning is None:
            return plain if self._gate.holds(plain.accuracy) else None
        try:
            tuned = self._graded(self._stages.fine_tuned(made, self._tuning), report, keep, self._tuning)
        except TeachError as error:
            self._tuning, self._untunable = None, str(error)
            return None
        if tuned.accuracy <= plain.accuracy:
            self._tuning, self._untunable = None, f"it brought {tuned.accuracy:.2f} % instead of {plain.accuracy:.2f} %"
        return tuned if self._gate.holds(tuned.accuracy) else None

    def refusal(self, layers: int) -> QuantizeError:
        """Say what came nearest."""
        best, gate = max(self._tried, key=lambda one: one.accuracy), self._gate
        return QuantizeError(
            f"{self._variant} may lose at most {gate.max_drop:g} points of {gate.float_accuracy:.2f} % in float; it has "
            f"{best.accuracy:.2f} % with {best.kept} of {layers} layers kept in float{', tuned' if best.tuned else ''}, at best",
            hint=f"--max-quant-drop {gate.float_accuracy - best.accuracy:.2f}",
        )

    def _graded(self, graph: Artifact, report: QuantizeReport, keep: tuple[str, ...], tuning: FineTuning | None) -> GatedEngine:
        engine = self._stages.engine(graph, self._variant)
        accuracy = self._stages.accuracy(engine, self._variant, "validation")
        self._tried.append(Tried(kept=len(keep), accuracy=accuracy, tuned=tuning is not None))
        found = Quantized(
            report=report,
            keep=keep,
            float_accuracy=self._gate.float_accuracy,
            tried=tuple(self._tried),
            tuning=None if tuning is None else tuning.recipe,
            untunable=self._untunable,
        )
        return GatedEngine(graph=graph, engine=engine, accuracy=accuracy, quantized=found)
