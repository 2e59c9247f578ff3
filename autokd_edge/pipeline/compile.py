"""Build one given network in each variant of a target, grade and measure it, and choose the engine to ship."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autokd_edge.core.artifact import Artifact
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.quantization import Quantized
from autokd_edge.core.target import Variant
from autokd_edge.core.tuning import Tuning
from autokd_edge.core.variants import in_cheap_order
from autokd_edge.errors import BuildError, InputError, MeasureError, StageError
from autokd_edge.pipeline.gate import Gate, quantized_engine
from autokd_edge.pipeline.stages import FineTuning, Stages, needs_quantizing

_OTHER_OPERATIONS = "export the model without these operations, or give --target of another compiler, see `autokd-edge targets`"
Watch = Callable[[Variant], None]  # told which variant comes next


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """An engine of the network; accuracy in % on the validation set, None without images to grade it."""

    variant: Variant
    graph: Artifact
    engine: Artifact
    measurement: Measurement
    accuracy: float | None
    quantized: Quantized | None
    tuning: Tuning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A variant in which the network could not be built, quantised, graded or measured, and why."""

    variant: Variant
    error: StageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be compiled, and by which rules; ``graded`` says that there are images to grade engines with."""

    graph: Artifact
    variants: Sequence[Variant]
    protocol: Protocol
    graded: bool
    max_drop: float  # points that an engine may lose against the fp32 one
    fine_tuning: FineTuning | None = None  # of quantised graphs whose engines lose more
    tune: int | None = None  # candidates of each layer that are tried on the device


def compiled_in_each(stages: Stages, job: Job, watch: Watch) -> tuple[Compiled | Unusable, ...]:
    """Compile in every variant of the job, fp32 first; what fails is a value.

    Raises:
        InputError: there are images, and the network that engines are graded against cannot be built.
        GradeError: that network does not run.
    """
    found: list[Compiled | Unusable] = []
    reference = _reference(stages, job) if job.graded else None
    for variant in in_cheap_order(job.variants):
        watch(variant)
        try:
            found.append(_compiled(stages, job, variant, reference))
        except StageError as error:
            found.append(Unusable(variant=variant, error=error))
    return tuple(found)


def to_ship(found: Sequence[Compiled | Unusable], *, max_drop: float) -> Compiled:
    """Return the fastest engine that loses no more than ``max_drop`` points against the most accurate one.

    Raises:
        MeasureError: nothing could be measured: the device's fault.
        InputError: no variant could be built; says why of each.
    """
    engines = [one for one in found if isinstance(one, Compiled)]
    if engines:
        top = max(one.accuracy or 0.0 for one in engines)
        return min((one for one in engines if (one.accuracy or 0.0) >= top - max_drop), key=lambda one: one.measurement.median_ns)
    errors = [one for one in found if isinstance(one, Unusable)]
    for one in errors:
        if isinstance(one.error, MeasureError) or one.error.retryable:
            raise one.error
    raise InputError(
        "the network must build in a variant of the target; " + "; ".join(f"{one.variant}: {one.error.args[0]}" for one in errors),
        hint=next((one.error.hint for one in errors if one.error.hint), _OTHER_OPERATIONS),
    )


def _reference(stages: Stages, job: Job) -> float:
    """Grade the network in float: by the first float variant of the target, whether or not it is to be shipped."""
    variant = in_cheap_order(stages.target.variants)[0]
    try:
        engine = stages.engine(job.graph, variant)
    except BuildError as error:
        if error.retryable:
            raise
        raise InputError(
            f"the network must build as {variant}, which other engines are graded against: {error.args[0]}",
            hint=error.hint or _OTHER_OPERATIONS,
        ) from error
    return stages.accuracy(engine, variant, "validation")


def _compiled(stages: Stages, job: Job, variant: Variant, reference: float | None) -> Compiled:
    graph, quantized, accuracy = job.graph, None, None
    if needs_quantizing(variant):
        assert reference is not None, "there are calibration images wherever something is quantised"
        gate = Gate(float_accuracy=reference, max_drop=job.max_drop)
        gated = quantized_engine(stages, job.graph, variant, gate, job.fine_tuning)
        graph, engine, accuracy, quantized = gated.graph, gated.engine, gated.accuracy, gated.quantized
    else:
        engine = stages.engine(job.graph, variant)
        accuracy = stages.accuracy(engine, variant, "validation") if job.graded else None
    tuning = None
    if job.tune is not None:
        graph, tuning = stages.tuned(graph, variant, job.tune)  # the accuracy stays: its engine gives the same logits
        engine = stages.engine(graph, variant)
    measurement = stages.measurement(engine, variant, job.protocol)
    return Compiled(
        variant=variant, graph=graph, engine=engine, measurement=measurement, accuracy=accuracy, quantized=quantized, tuning=tuning
    )
