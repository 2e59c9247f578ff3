"""Carry out one action of a study and return its outcome; a failing candidate is a value."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from autokd_edge.core.artifact import Artifact
from autokd_edge.core.codec import encode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.limits import Limits
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.pupil import Cost, Failed, Grade, Lesson, Member, Pupil, Screened, Stage, Unread
from autokd_edge.core.quantization import FineTuningRecipe, Quantized
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.core.variants import LOST_BY, first_variant, next_variant
from autokd_edge.devices.pool import BoardPool
from autokd_edge.errors import BuildError, GradeError, LoweringError, MeasureError, QuantizeError, StageError, TeachError
from autokd_edge.pipeline.gate import Gate, GatedEngine, float_engine, quantized_engine
from autokd_edge.pipeline.stages import FineTuning, Stages, needs_quantizing
from autokd_edge.ports import Distiller, FineTuner, Split, StudentFamily, TeacherNetwork
from autokd_edge.students.cost import cost_of

_T = TypeVar("_T")
_STAGES: Mapping[type[StageError], Stage] = {
    LoweringError: "lower",
    BuildError: "build",
    QuantizeError: "quantize",
    MeasureError: "measure",
    TeachError: "teach",
    GradeError: "grade",
}
SCREEN, FINAL = "screen", "final"
# A candidate is worth 2.5 s of screening on 2 cores; OpenVINO took 1.92 s for 850 layers and 2.56 s for 1,003 (idle machine).
MOST_LAYERS = 900
DISTURBED_AGAIN = 2  # readings after a disturbed one that decides
GRADED_AT_ONCE = 250  # images that a teacher without a graph is asked about at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceReading:
    """The teacher on the target: accuracy in % on the validation set, and a reading by each protocol; see ``Referenced``."""

    accuracy: float | None
    cost: Cost | None
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Asks the device, teaches and grades; ``lessons`` is the folder of taught weights."""

    stages: Stages
    family: StudentFamily
    task: Task
    distiller: Distiller
    teacher: TeacherNetwork | None
    teacher_digest: Digest
    data_digest: Digest
    protocols: Mapping[str, Protocol]
    screen_variant: Variant
    seed: int
    lessons: Path
    pool: BoardPool | None = None  # where several boards measure
    silence: Callable[[], AbstractContextManager[None]] = nullcontext  # for a screening reading while others are taught
    fine_tuner: FineTuner | None = None  # where INT8 graphs that lose too much are tuned

    def reference(self) -> ReferenceReading:
        """Grade and measure the teacher; raises StageError, because nothing can be compared without it."""
        if self.teacher is None:
            return ReferenceReading(accuracy=None, cost=None, measurements=())
        screened, *others = self.protocols.values()
        known = self._teacher_screened(screened)
        if known is None:
            return ReferenceReading(accuracy=self.teacher_accuracy("validation", None), cost=self.teacher.cost, measurements=())
        variant = known.variant
        engine = self.teacher_engine(variant)
        readings = (known, *(self.stages.measurement(engine, variant, protocol) for protocol in others))
        return ReferenceReading(accuracy=self.teacher_accuracy("validation", variant), cost=self.teacher.cost, measurements=readings)

    def _teacher_screened(self, protocol: Protocol) -> Measurement | None:
        """Read the teacher in the screening variant, and in its precision of the other backends; None where it has no graph.

        One that is faster by more than 30 % is what a student must be faster than: no student is praised for a change
        of runtime. Nearer ones are equals by a single reading each, and which of them is taken must not be chance.
        """
        if self.teacher is None or self.teacher.write_graph is None:
            return None
        own = self.stages.measurement(self.teacher_engine(self.screen_variant), self.screen_variant, protocol)
        found = [own]
        for variant in self.stages.target.variants:
            if variant.precision == self.screen_variant.precision and variant != self.screen_variant:
                with suppress(StageError):  # what lacks its compiler, or cannot build the teacher, has no faster one
                    found.append(self.stages.measurement(self.teacher_engine(variant), variant, protocol))
        fastest = min(found, key=lambda reading: reading.slowness)
        return fastest if own.slowness > (1 + LOST_BY) * fastest.slowness else own

    def teacher_engine(self, variant: Variant) -> Artifact:
        """Build a teacher that has a graph."""
        assert self.teacher is not None, "who has no teacher asks for no engine of it"
        assert self.teacher.write_graph is not None, "who has no graph has no engine"
        return self.stages.engine(self.stages.teacher_graph(self.teacher.digest, self.teacher.write_graph), variant)

    def teacher_accuracy(self, split: Split, variant: Variant | None) -> float | None:
        """Grade the teacher on a split, in %: its engine in a variant, or its own answers for None; None without a teacher."""
        if self.teacher is None:
            return None
        if variant is not None:
            return self.stages.accuracy(self.teacher_engine(variant), variant, split)
        inputs, labels = self.stages.images.inputs(split)
        images: npt.NDArray[np.float32] = np.load(inputs, mmap_mode="r", allow_pickle=False)
        chunks = [images[first : first + GRADED_AT_ONCE] for first in range(0, len(images), GRADED_AT_ONCE)]
        right = np.concatenate([self.teacher.answer(np.array(chunk)).argmax(axis=1) for chunk in chunks]) == labels
        return 100 * float(right.mean())

    def spec(self, member: Member) -> StudentSpec:
        """Return the network of a member."""
        return self.family.spec(member.architecture, self.task, member.index)

    @property
    def width(self) -> int:
        """How many members may be probed at the same time."""
        return 1 if self.pool is None else self.pool.width

    def probe(self, member: Member, study: Study) -> Screened | Failed:
        """Build and measure an untrained member (screen protocol) in each variant that the study so far calls for.

        Of a pool of boards one gives all of its readings, as long as it is there.
        """

        def screened() -> Screened:
            spec = self.spec(member)
            if len(spec.layers) > MOST_LAYERS:
                raise LoweringError(f"a student must have at most {MOST_LAYERS} layers to be screened; it has {len(spec.layers)}")
            variants = self.stages.target.variants
            first = first_variant(study, self.screen_variant, variants)
            found = Screened(cost=cost_of(spec), measurements=(self._untrained(spec, first, SCREEN),))
            while (variant := next_variant(study, variants, found)) is not None:
                reading = _outcome(partial(self._untrained, spec, variant, SCREEN))
                if isinstance(reading, Failed):
                    found = replace(found, unread=(*found.unread, Unread(variant=variant, failure=reading)))
                else:
                    found = replace(found, measurements=(*found.measurements, reading))
            return found

        with nullcontext() if self.pool is None else self.pool.kept():
            return _outcome(screened)

    def confirm(self, member: Member, variant: Variant) -> Measurement | Failed:
        """Read the engine of an untrained member, the one that was probed, by the final protocol."""
        return _outcome(lambda: self._untrained(self.spec(member), variant, FINAL))

    def _untrained(self, spec: StudentSpec, variant: Variant, protocol: str) -> Measurement:
        engine = self.stages.engine(self.stages.untrained_graph(spec, variant), variant)
        with self.silence():
            return self.stages.measurement(engine, variant, self.protocols[protocol])

    def _final_reading(self, engine: Artifact, variant: Variant, study: Study) -> Measurement:
        """Read a taught engine by the final protocol, again where a disturbed reading decides, and return the one disturbed least.

        A disturbed reading decides where the latency limit is all that it breaks, and by little. Which reading stands is the
        sentinel's word, not the engine's: the fastest of several would be luck. An untrained engine is worth no such minute:
        no long teaching hangs on it, and another finalist may follow.
        """
        taken: list[Measurement] = []
        for _ in range(1 + DISTURBED_AGAIN):
            taken.append(self.stages.measurement(engine, variant, self.protocols[FINAL]))
            if not _decides_disturbed(taken[-1], study):
                return taken[-1]
        return min(taken, key=lambda reading: reading.sentinel.slower_ns)

    def teach(self, pupil: Pupil, steps: int, *, until: int | None = None) -> Lesson | Failed:
        """Teach a pupil for a number of optimiser steps, or go on with it ``until`` a rung before."""

        def taught() -> Lesson:
            spec = self.spec(pupil.member)
            key = self._lesson_key(spec, pupil, steps)
            out = self.lessons / f"{key}.safetensors"
            out.parent.mkdir(parents=True, exist_ok=True)
            result = self.distiller.teach(spec, pupil.distillation, steps=steps, seed=self.seed, out=out, until=until)
            if not 0 <= result.accuracy <= 100:  # nor NaN
                raise TeachError(f"a taught network's accuracy must be 0 to 100 %; got {result.accuracy}")
            checkpoint = None if until is not None else self._kept(key, out).digest
            return Lesson(accuracy=result.accuracy, loss=result.loss, checkpoint=checkpoint, seconds=result.seconds)

        return _outcome(taught)

    def grade(self, pupil: Pupil, steps: int, variant: Variant, study: Study) -> Grade | Failed:
        """Build, measure (final protocol) and grade a pupil taught for ``steps``; what is quantised passes its gate first."""

        def graded() -> Grade:
            float_graph = self.float_graph(pupil, steps)
            made = self._gated(float_graph, pupil, variant, study.goal.limits)
            return Grade(
                accuracy=made.accuracy,
                measurement=self._final_reading(made.engine, variant, study),
                float_graph=float_graph.digest,
                graph=made.graph.digest,
                engine=made.engine.digest,
                quantized=made.quantized,
            )

        return _outcome(graded)

    def _gated(self, float_graph: Artifact, pupil: Pupil, variant: Variant, limits: Limits) -> GatedEngine:
        if not needs_quantizing(variant):
            return float_engine(self.stages, float_graph, variant)
        in_float = float_engine(self.stages, float_graph, self.float_variant(variant))
        gate = Gate(float_accuracy=in_float.accuracy, max_drop=limits.max_quant_drop)
        recipe = None if self.fine_tuner is None else self.fine_tuner.recipe(pupil.distillation)
        return quantized_engine(self.stages, float_graph, variant, gate, self.tuning(recipe))

    def float_variant(self, of: Variant) -> Variant:
        """Return the variant that the accuracy of a network in float is read in: of the same backend, where the target has it."""
        own = replace(of, precision=self.screen_variant.precision)
        return own if own in self.stages.target.variants else self.screen_variant

    def tuning(self, recipe: FineTuningRecipe | None) -> FineTuning | None:
        """Return what tunes a quantised graph by a recipe; None where nothing is tuned."""
        if recipe is None or self.fine_tuner is None:
            return None
        return FineTuning(tuner=self.fine_tuner, recipe=recipe, folder=self.lessons)

    def quantized_graph(self, float_graph: Artifact, variant: Variant, made: Quantized) -> Artifact:
        """Return the graph of a quantised engine that passed its gate, made as it was then."""
        graph, _ = self.stages.quantized(float_graph, variant, made.keep)
        tuning = self.tuning(made.tuning)
        return graph if tuning is None else self.stages.fine_tuned(graph, tuning)

    def float_graph(self, pupil: Pupil, steps: int) -> Artifact:
        """Return the float graph of a pupil that was taught for ``steps``; raises LoweringError where it was not."""
        spec = self.spec(pupil.member)
        key = self._lesson_key(spec, pupil, steps)
        checkpoint = self.stages.store.find("checkpoint", key)
        if checkpoint is None:
            raise LoweringError(f"a pupil must be taught before it is graded; there is no checkpoint of {steps} steps")
        return self.stages.taught_graph(spec, checkpoint)

    def _lesson_key(self, spec: StudentSpec, pupil: Pupil, steps: int) -> Digest:
        recipe = [encode(spec), encode(pupil.distillation), steps, self.seed, self.teacher_digest, self.data_digest]
        return digest_of_json(["checkpoint", recipe])

    def _kept(self, key: Digest, out: Path) -> Artifact:
        """Store a second name of the file: ``out`` stays, so that a kill before the event loses no teaching."""
        found = self.stages.store.find("checkpoint", key)
        if found is not None:
            return found
        linked = out.with_suffix(".link")
        linked.unlink(missing_ok=True)
        os.link(out, linked)
        return self.stages.store.put("checkpoint", key, linked)


def stage_of(error: StageError) -> Stage:
    """Name the stage that an error ended."""
    return next(name for kind, name in _STAGES.items() if isinstance(error, kind))


def _decides_disturbed(reading: Measurement, study: Study) -> bool:
    """Say whether a disturbed reading breaks the latency limit alone, and by no more than a disturbance explains."""
    broken = [slack for slack in study.slacks(reading) if slack.excess > 0]
    return reading.is_disturbed and bool(broken) and all(slack.limit == "latency" and slack.excess <= LOST_BY for slack in broken)


def _outcome(work: Callable[[], _T]) -> _T | Failed:
    try:
        return work()
    except StageError as error:
        return Failed(stage=stage_of(error), error=type(error).__name__, message=str(error), retryable=error.retryable)
