"""Make a bundle of a graded engine: the facts of a study in the words of a manifest."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from autokd_edge.api.native import engine_name, files_beside, runtime_of
from autokd_edge.bundle.manifest import (
    MANIFEST,
    Accuracy,
    Card,
    Manifest,
    ModelInput,
    Network,
    Preprocessing,
    Reading,
    StudentFacts,
    TeacherFacts,
)
from autokd_edge.bundle.writer import BundleFiles, write_bundle
from autokd_edge.core.digest import Digest, digest_of_file
from autokd_edge.core.events import Graded
from autokd_edge.core.pupil import Grade
from autokd_edge.core.student import INPUT
from autokd_edge.core.study import Study
from autokd_edge.pipeline.evaluate import Evaluator
from autokd_edge.pipeline.ship import Accuracies, Shipment, shipment
from autokd_edge.students.cost import cost_of
from autokd_edge.teaching.samples import TeachingData

# Logits of the same engine on the same processor are equal; another processor sums in another order.
SELFTEST_TOLERANCE = 1e-2


def ship(
    study: Study, graded: Graded, evaluator: Evaluator, *, name: str, data: TeachingData, folder: Path, tune: int | None = None
) -> tuple[Manifest, Digest]:
    """Write the bundle of a graded engine, tuned by up to ``tune`` candidates; returns its manifest and the digest of the manifest's file.

    Raises:
        BundleError: the bundle cannot be written.
        StageError: an engine cannot be run again.
    """
    goods = shipment(study, graded, evaluator, tune=tune)
    card = _card(study, graded, goods, evaluator, name=name, data=data)
    with tempfile.TemporaryDirectory() as scratch:
        inputs, logits = Path(scratch) / "inputs.npy", Path(scratch) / "logits.npy"
        np.save(inputs, goods.selftest_inputs)
        np.save(logits, goods.selftest_logits)
        backend = evaluator.stages.backends[graded.variant.backend]
        graph = goods.float_graph if goods.quantized_graph is None else goods.quantized_graph
        files = BundleFiles(
            engine=goods.engine,
            engine_name=engine_name(backend),
            float_graph=goods.float_graph,
            quantized_graph=goods.quantized_graph,
            selftest_inputs=inputs,
            selftest_logits=logits,
            more=files_beside(backend, graph, card, Path(scratch)),
        )
        manifest = write_bundle(folder, files, card)
    return manifest, digest_of_file(folder / MANIFEST)


def _card(study: Study, graded: Graded, goods: Shipment, evaluator: Evaluator, *, name: str, data: TeachingData) -> Card:
    measurement, spec = goods.grade.measurement, evaluator.spec(graded.pupil.member)
    backend = evaluator.stages.backends[graded.variant.backend]
    processor = measurement.fingerprint.processor
    readings = [Reading(what="teacher", measurement=m) for m in goods.reference.measurements if m.protocol == measurement.protocol]
    readings += [
        Reading(what="student engine", measurement=g.outcome.measurement)
        for g in study.grades
        if g.pupil == graded.pupil and isinstance(g.outcome, Grade)
    ]
    if measurement not in [known.measurement for known in readings]:
        readings.append(Reading(what="student engine", measurement=measurement))  # of the tuned engine
    return Card(
        study=name,
        data=data.name,
        target=evaluator.stages.target,
        variant=graded.variant,
        runtime=runtime_of(backend, measurement),
        toolchain=dict(backend.builder.toolchain()),
        fingerprint=measurement.fingerprint,
        input=ModelInput(
            name=INPUT,
            shape=(1, *spec.input),
            dtype="float32",
            layout="NCHW",
            preprocessing=Preprocessing(formula="(pixel / 255 - mean) / std", mean=data.mean, std=data.std),
        ),
        labels=data.classes,
        accuracies=(
            *(() if goods.teacher is None else _stated("teacher", goods.teacher, processor)),
            *_stated("student float", goods.student_float, processor),
            *_stated("student engine", goods.student_engine, processor),
        ),
        measurements=tuple(readings),
        teacher=TeacherFacts(name=study.config.teacher, digest=study.config.teacher_digest, cost=goods.reference.cost),
        student=StudentFacts(spec=spec, cost=cost_of(spec), pupil=graded.pupil),
        limits=study.goal.limits,
        slacks=study.grade_slacks(goods.grade),
        selftest_tolerance=SELFTEST_TOLERANCE,
        quantized=goods.grade.quantized,
        tuning=goods.tuning,
        splits={"train": len(data.train), "validation": len(data.validation), "test": len(evaluator.stages.images.inputs("test")[1])},
    )


def _stated(what: Network, found: Accuracies, processor: str) -> tuple[Accuracy, Accuracy]:
    return (
        Accuracy(what=what, split="validation", percent=found.validation, computed_by=found.computed_by, machine=processor),
        Accuracy(what=what, split="test", percent=found.test, computed_by=found.computed_by, machine=processor),
    )
