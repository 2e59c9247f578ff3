"""What a quantisation did, layer by layer, as a value; SQNR is the ratio of signal to quantisation noise, in dB."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.digest import Digest
from autokd_edge.core.space import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNoise:
    """One convolution or matrix product, against float on calibration images; None where there is no noise at all.

    ``sqnr_db`` is of the layer's output in the quantised network, so it holds the noise of all layers before it;
    ``own_sqnr_db`` is of the layer fed with float activations: what it adds itself.
    """

    name: str
    op: str
    quantized: bool  # False where the layer was kept in float
    sqnr_db: float | None
    own_sqnr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeReport:
    """What a quantiser says of a graph: its layers in order, and whether correcting the biases was better.

    The SQNRs are of the logits, on calibration images that the correction was not made from.
    """

    layers: tuple[LayerNoise, ...]
    bias_corrected: bool
    logits_sqnr_db: float | None  # of the graph that was written
    other_logits_sqnr_db: float | None  # with the biases corrected where they were not, and the other way round

    @property
    def in_float(self) -> tuple[str, ...]:
        """Return the layers that stayed in float, by our wish or the quantiser's."""
        return tuple(layer.name for layer in self.layers if not layer.quantized)

    def worst(self, count: int) -> tuple[str, ...]:
        """Return the quantised layers that add most noise, the worst first."""
        noisy = [layer for layer in self.layers if layer.quantized and layer.own_sqnr_db is not None]
        return tuple(layer.name for layer in sorted(noisy, key=lambda layer: layer.own_sqnr_db or 0.0)[:count])


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """How a quantised engine came to be: the report of its graph, and the gate that its accuracy passed.

    Accuracies in % on the validation set: of the float network's engine, and of the quantised engine with
    no layer kept in float, then with each number of layers that was tried. Where the graph was tuned, the
    report is of what its quantiser made, before; ``untunable`` says why tuning was given up.
    """

    report: QuantizeReport
    keep: tuple[str, ...]  # the layers that the quantiser was told to leave in float
    float_accuracy: float
    tried: tuple[Tried, ...]
    tuning: FineTuningRecipe | None = None  # how the graph of the engine was tuned
    untunable: str = ""

    @property
    def untuned_accuracy(self) -> float:
        """Return the accuracy with as many layers in float and without tuning."""
        return next(one.accuracy for one in reversed(self.tried) if not one.tuned and one.kept == len(self.keep))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The accuracy of the quantised engine with a number of layers kept in float; ``tuned`` says that its graph was tuned."""

    kept: int
    accuracy: float
    tuned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuningRecipe:
    """All that decides, beside a quantised graph, what quantisation-aware tuning makes of it; ``teacher`` is None where there was none."""

    steps: int  # of the optimiser, batches of 128 images
    loss: str
    distillation: Point
    seed: int
    teacher: Digest | None
    data: Digest

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"tuning must have at least 1 step; got {self.steps}")
