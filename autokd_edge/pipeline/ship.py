"""Gather what a bundle holds: the measured engine's own file, its graphs, self-test vectors and test accuracies.

The only place of a study where the test set is read; nothing is chosen after it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autokd_edge.core.artifact import Artifact
from autokd_edge.core.events import Graded, Referenced
from autokd_edge.core.pupil import Grade
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.errors import MeasureError
from autokd_edge.pipeline.evaluate import Evaluator
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


def shipment(study: Study, graded: Graded, evaluator: Evaluator) -> Shipment:
    """Collect the files of a graded engine and compute the test accuracies with the engines themselves.

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
    images, _ = stages.images.inputs("validation")
    samples: npt.NDArray[np.float32] = np.load(images, mmap_mode="r", allow_pickle=False)[:SELFTEST_SAMPLES]
    shown = images.with_name(f"selftest-{engine.digest}.npy")
    with io.BytesIO() as written:
        np.save(written, samples)
        shown.write_bytes(written.getvalue())  # numpy's own writing does not say that a disk is full
    float_variant = evaluator.screen_variant
    return Shipment(
        reference=study.reference,
        grade=grade,
        engine=stages.store.path(engine),
        float_graph=stages.store.path(float_graph),
        quantized_graph=None if graph == float_graph else stages.store.path(graph),
        selftest_inputs=np.array(samples),
        selftest_logits=stages.logits(engine, variant, shown),
        teacher=_teacher_accuracies(evaluator),
        student_float=_accuracies(evaluator, stages.engine(float_graph, float_variant), float_variant),
        student_engine=_accuracies(evaluator, engine, variant),
    )


def _accuracies(evaluator: Evaluator, engine: Artifact, variant: Variant) -> Accuracies:
    grade = evaluator.stages.accuracy
    said = _said(evaluator, variant)
    return Accuracies(computed_by=said, validation=grade(engine, variant, "validation"), test=grade(engine, variant, "test"))


def _teacher_accuracies(evaluator: Evaluator) -> Accuracies | None:
    validation, test = evaluator.teacher_accuracy("validation"), evaluator.teacher_accuracy("test")
    if evaluator.teacher is None or validation is None or test is None:
        return None
    by = evaluator.teacher.run_by if evaluator.teacher.write_graph is None else _said(evaluator, evaluator.screen_variant)
    return Accuracies(computed_by=by, validation=validation, test=test)


def _said(evaluator: Evaluator, variant: Variant) -> str:
    return evaluator.stages.backends[variant.backend].computed_by or f"{variant.backend} {variant.precision}"
