"""Gather what a bundle holds: the measured engine's own file, its graphs, self-test vectors and test accuracies.

The only place of a study where the test set is read; nothing is chosen after it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autokd_edge.core.artifact import Artifact
from autokd_edge.core.events import Graded, Referenced
from autokd_edge.core.pupil import Grade
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.core.tuning import Tuning
from autokd_edge.errors import MeasureError
from autokd_edge.pipeline.evaluate import FINAL, Evaluator
from autokd_edge.pipeline.loop import steps_taught

SELFTEST_SAMPLES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracies:
    """Accuracies in % on one network's validation and test split, and what computed them: runtime and precision."""

    computed_by: str
    validation: float
    test: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """All that leaves; paths lie in the artifact store."""

    reference: Referenced
    grade: Grade
    engine: Path
    float_graph: Path
    quantized_graph: Path | None
    selftest_inputs: npt.NDArray[np.float32]  # (n, c, h, w)
    selftest_logits: npt.NDArray[np.float32]  # (n, classes)
    teacher: Accuracies | None
    student_float: Accuracies
    student_engine: Accuracies
    tuning: Tuning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tuned:
    """The engine to ship and what it was built from: of the tuned graph, where that engine is faster and keeps all limits."""

    grade: Grade
    graph: Artifact
    engine: Artifact
    tuning: Tuning | None


def shipment(study: Study, graded: Graded, evaluator: Evaluator, *, tune: int | None = None) -> Shipment:
    """Collect the files of a graded engine and compute the test accuracies with the engines themselves.

    With ``tune`` the engine is tuned first, by up to so many candidates of each layer; ``grade`` is then that of the faster one.

    Raises:
        StageError: an engine that was graded before cannot be made or run again.
    """
    assert study.reference is not None, "the teacher is measured before any student"
    assert isinstance(graded.outcome, Grade), "only a graded engine is shipped"
    stages, grade, variant = evaluator.stages, graded.outcome, graded.variant
    float_graph = evaluator.float_graph(graded.pupil, steps_taught(study, graded.pupil))
    graph = float_graph if grade.quantized is None else evaluator.quantized_graph(float_graph, variant, grade.quantized)
    engine = stages.engine(graph, variant)
    if engine.digest != grade.engine:
        raise MeasureError(f"the shipped engine must be the measured one, sha256 {grade.engine}; the store has {engine.digest}")
    tuned = _Tuned(grade=grade, graph=graph, engine=engine, tuning=None)
    if tune is not None:
        tuned = _tuned(study, tuned, variant, evaluator, tune)
    engine = tuned.engine
    images, _ = stages.images.inputs("validation")
    samples: npt.NDArray[np.float32] = np.load(images, mmap_mode="r", allow_pickle=False)[:SELFTEST_SAMPLES]
    shown = images.with_name(f"selftest-{engine.digest}.npy")
    with io.BytesIO() as written:
        np.save(written, samples)
        shown.write_bytes(written.getvalue())  # numpy's own writing does not say that a disk is full
    float_variant = evaluator.float_variant(variant)
    return Shipment(
        reference=study.reference,
        grade=tuned.grade,
        engine=stages.store.path(engine),
        float_graph=stages.store.path(tuned.graph if graph == float_graph else float_graph),
        quantized_graph=None if graph == float_graph else stages.store.path(tuned.graph),
        selftest_inputs=np.array(samples),
        selftest_logits=stages.logits(engine, variant, shown),
        teacher=_teacher_accuracies(evaluator, study.reference),
        student_float=_accuracies(evaluator, stages.engine(float_graph, float_variant), float_variant),
        student_engine=_accuracies(evaluator, engine, variant),
        tuning=tuned.tuning,
    )


def _tuned(study: Study, plain: _Tuned, variant: Variant, evaluator: Evaluator, most: int) -> _Tuned:
    """Tune an engine; it has the accuracy that was graded, because it gives the same logits, and a reading of its own."""
    stages = evaluator.stages
    graph, tuning = stages.tuned(plain.graph, variant, most)
    if tuning is None or not tuning.kept:
        return replace(plain, tuning=tuning)
    engine = stages.engine(graph, variant)
    measurement = stages.measurement(engine, variant, evaluator.protocols[FINAL])
    grade = replace(plain.grade, measurement=measurement, graph=graph.digest, engine=engine.digest)
    lost = [slack.limit for slack in study.grade_slacks(grade) if slack.excess > 0]
    if lost:
        return replace(plain, tuning=replace(tuning, dropped=f"its reading was above the limit of {' and '.join(lost)}"))
    return _Tuned(grade=grade, graph=graph, engine=engine, tuning=tuning)


def _accuracies(evaluator: Evaluator, engine: Artifact, variant: Variant) -> Accuracies:
    grade = evaluator.stages.accuracy
    said = _said(evaluator, variant)
    return Accuracies(computed_by=said, validation=grade(engine, variant, "validation"), test=grade(engine, variant, "test"))


def _teacher_accuracies(evaluator: Evaluator, reference: Referenced) -> Accuracies | None:
    variant = reference.measurements[0].variant if reference.measurements else None
    validation, test = evaluator.teacher_accuracy("validation", variant), evaluator.teacher_accuracy("test", variant)
    if evaluator.teacher is None or validation is None or test is None:
        return None
    by = evaluator.teacher.run_by if variant is None else _said(evaluator, variant)
    return Accuracies(computed_by=by, validation=validation, test=test)


def _said(evaluator: Evaluator, variant: Variant) -> str:
    return evaluator.stages.backends[variant.backend].computed_by or f"{variant.backend} {variant.precision}"
