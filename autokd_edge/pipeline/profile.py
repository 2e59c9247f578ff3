"""Build and measure one network in every variant of a target; a variant that fails is a row, not the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autokd_edge.core.measure import Protocol
from autokd_edge.core.profile import Built, LayerTime, LeftOut, Profiled, ProfileOutcome, ProfileRow
from autokd_edge.core.pupil import Failed
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import DeviceError, ModelError, NoDeviceError, RuntimeMissingError, StageError
from autokd_edge.pipeline.evaluate import stage_of
from autokd_edge.pipeline.given_model import GivenModel
from autokd_edge.ports import Backend

NO_CALIBRATION = "int8 needs calibration images: --data"
Watch = Callable[[Variant], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiler:
    """What a network is profiled on and by; ``quantized`` holds graphs that were quantised before."""

    target: Target
    backends: Mapping[str, Backend]
    protocol: Protocol
    calibration: Path | None  # .npy, float32 (n, c, h, w), preprocessed
    layers: bool
    quantized: Mapping[Variant, Path] = field(default_factory=dict)
    tune: int | None = None  # candidates of each layer that are tried on the device

    def rows(self, model: GivenModel, watch: Watch) -> tuple[ProfileRow, ...]:
        """Profile a model in the order of the target's variants; ``watch`` hears of each before it begins.

        Raises:
            ModelError: the model's opset is newer than the target reads.
        """
        if model.opset > self.target.opset_max:
            raise ModelError(
                f"target '{self.target.name}' reads ONNX up to opset {self.target.opset_max}; the model uses opset {model.opset}",
                hint="export it with an older opset",
            )
        return tuple(self._row(model, variant, watch) for variant in self.target.variants)

    def _row(self, model: GivenModel, variant: Variant, watch: Watch) -> ProfileRow:
        watch(variant)
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = self._outcome(model, variant, Path(folder))
            except StageError as error:
                outcome = Failed(stage=stage_of(error), error=type(error).__name__, message=str(error), retryable=error.retryable)
            except RuntimeMissingError as error:
                said = str(error.of_target(self.target.name))
                outcome = Failed(stage="measure", error=type(error).__name__, message=said, retryable=False)
            except DeviceError as error:  # what was measured before is kept
                outcome = Failed(stage="measure", error=type(error).__name__, message=str(error), retryable=True)
        return ProfileRow(variant=variant, outcome=outcome)

    def _outcome(self, model: GivenModel, variant: Variant, folder: Path) -> ProfileOutcome:
        if model.quantized and variant.precision != "int8":
            return LeftOut(reason=f"the model is quantised already: it is no {variant.precision} network")
        backend, graph = self.backends[variant.backend], model.path
        if variant.precision == "int8" and not model.quantized:
            known = self.quantized.get(variant)
            if known is None and self.calibration is None:
                return LeftOut(reason=NO_CALIBRATION)
            graph = known or folder / "quantized.onnx"
            if known is None and self.calibration is not None:
                backend.quantizer.quantize(model.path, self.calibration, variant=variant, target=self.target, out=graph)
        tuning = None
        if self.tune is not None and backend.tuner is not None:
            tuning = backend.tuner.tune(graph, variant=variant, target=self.target, most=self.tune, out=folder / "tuned.onnx")
            graph = folder / "tuned.onnx"
        engine = folder / "engine.blob"
        backend.builder.build(graph, variant=variant, target=self.target, out=engine)
        try:
            reading = backend.board.measure(engine, variant=variant, target=self.target, protocol=self.protocol)
        except NoDeviceError as error:
            return Built(engine_bytes=engine.stat().st_size, reason=str(error))
        layers = self._layers(backend, engine, variant)
        return Profiled(engine_bytes=engine.stat().st_size, measurement=reading, layers=layers, tuning=tuning)

    def _layers(self, backend: Backend, engine: Path, variant: Variant) -> tuple[LayerTime, ...] | None:
        if not self.layers or backend.layer_timer is None:
            return None
        return backend.layer_timer.layers(engine, variant=variant, target=self.target)
