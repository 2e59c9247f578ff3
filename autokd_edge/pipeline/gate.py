"""Quantise until the engine's accuracy is near enough to float: the layers that add most noise go back to float."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.artifact import Artifact
from autokd_edge.core.quantization import Quantized, Tried
from autokd_edge.core.target import Variant
from autokd_edge.errors import QuantizeError
from autokd_edge.pipeline.stages import Stages


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


def quantized_engine(stages: Stages, graph: Artifact, variant: Variant, *, float_accuracy: float, max_drop: float) -> GatedEngine:
    """Build and grade a quantised engine; 1, 2, 4, ... of the noisiest layers stay in float until it drops by ``max_drop`` at most.

    Args:
        stages: makes graphs and engines.
        graph: the float graph.
        variant: what to build.
        float_accuracy: of the float network's engine on the validation set, in %.
        max_drop: points of accuracy.

    Raises:
        QuantizeError: the drop is larger with every number of layers that was tried.
    """
    tried: list[Tried] = []
    keep: tuple[str, ...] = ()
    made, first = stages.quantized(graph, variant)
    report = first
    while True:
        engine = stages.engine(made, variant)
        accuracy = stages.accuracy(engine, variant, "validation")
        tried.append(Tried(kept=len(keep), accuracy=accuracy))
        if float_accuracy - accuracy <= max_drop:
            found = Quantized(report=report, keep=keep, float_accuracy=float_accuracy, tried=tuple(tried))
            return GatedEngine(graph=made, engine=engine, accuracy=accuracy, quantized=found)
        # With all of them in float nothing would be quantised.
        more = first.worst(min(max(1, 2 * len(keep)), len(first.layers) - 1))
        if len(more) <= len(keep):
            best = max(tried, key=lambda one: one.accuracy)
            raise QuantizeError(
                f"{variant} may lose at most {max_drop:g} points of {float_accuracy:.2f} % in float; it has {best.accuracy:.2f} % with "
                f"{best.kept} of {len(first.layers)} layers kept in float, at best",
                hint=f"--max-quant-drop {float_accuracy - best.accuracy:.2f}",
            )
        keep = more
        made, report = stages.quantized(graph, variant, keep)
