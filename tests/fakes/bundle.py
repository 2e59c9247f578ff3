"""Bundles made of sample values and a few bytes, and a board that answers with given logits."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from fakes.study import FINGERPRINT, FP32, TEACHER_NS, sample_config, sample_digest, sample_measurement, sample_pupil, sample_spec

from autokd_edge.bundle.manifest import (
    Accuracy,
    Card,
    Manifest,
    ModelInput,
    Preprocessing,
    Reading,
    Runtime,
    StudentFacts,
    TeacherFacts,
)
from autokd_edge.bundle.writer import BundleFiles, write_bundle
from autokd_edge.core.digest import Digest, digest_of_bytes
from autokd_edge.core.limits import Slack
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.pupil import Cost
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import MeasureError

ENGINE = b"engine bytes"
LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
LOGITS = np.random.default_rng(1).normal(size=(4, 10)).astype(np.float32)  # (n, classes)
INPUTS = np.random.default_rng(2).normal(size=(4, 1, 28, 28)).astype(np.float32)  # (n, c, h, w)

TARGET = Target(
    name="host",
    family="x86",
    description="this machine",
    architecture="x86_64",
    probe=True,
    isa_flags=(),
    cores=0,
    memory_bytes=0,
    threads=1,
    variants=(FP32,),
    int8_saturates=False,
    opset_max=21,
    static_shapes_only=False,
    channel_multiple=8,
    sources={},
)


def sample_card(engine: Digest | None = None, *, package: str = "numpy", version: str = np.__version__) -> Card:
    """Make a card; by default its runtime is a package that is surely here."""
    student = dataclasses.replace(
        sample_measurement(190_000.0, protocol="final", engine_bytes=1_850_000), engine=engine or digest_of_bytes(ENGINE)
    )
    machine = "Sample Processor 2.0 GHz"

    def accuracy(what: str, split: str, percent: float, by: str) -> Accuracy:
        return Accuracy(what=what, split=split, percent=percent, computed_by=by, machine=machine)  # type: ignore[arg-type]  # literals

    return Card(
        study="sample",
        data="fashion-mnist",
        target=TARGET,
        variant=FP32,
        runtime=Runtime(package=package, version=version),
        toolchain={"openvino": "2026.4.1", "nncf": "3.4.0"},
        fingerprint=FINGERPRINT,
        input=ModelInput(
            name="input",
            shape=(1, 1, 28, 28),
            dtype="float32",
            layout="NCHW",
            preprocessing=Preprocessing(formula="(pixel / 255 - mean) / std", mean=(0.286,), std=(0.353,)),
        ),
        labels=LABELS,
        accuracies=(
            accuracy("teacher", "validation", 94.1, "torch fp32"),
            accuracy("teacher", "test", 93.62, "torch fp32"),
            accuracy("student float", "validation", 93.3, "torch fp32"),
            accuracy("student float", "test", 92.7, "torch fp32"),
            accuracy("student engine", "validation", 93.2, "openvino fp32"),
            accuracy("student engine", "test", 92.6, "openvino fp32"),
        ),
        measurements=(
            Reading(what="teacher", measurement=sample_measurement(TEACHER_NS * 1.01, protocol="final", engine_bytes=9_700_000)),
            Reading(what="student engine", measurement=student),
        ),
        teacher=TeacherFacts(
            name="example:fashion-mnist",
            digest=sample_digest("teacher"),
            cost=Cost(parameters=697_370, macs=38_400_000, activation_bytes=401_408),
        ),
        student=StudentFacts(
            spec=sample_spec(),
            cost=Cost(parameters=61_000, macs=4_400_000, activation_bytes=84_000),
            pupil=sample_pupil(3),
        ),
        limits=sample_config().goals[0].limits,
        slacks=(Slack(limit="latency", reading=196_000, bound=299_000),),
        selftest_tolerance=1e-3,
    )


def sample_files(scratch: Path, *, engine: bytes = ENGINE) -> BundleFiles:
    """Write the parts of a bundle into a folder, as the pipeline leaves them."""
    (scratch / "made.engine").write_bytes(engine)
    (scratch / "made.onnx").write_bytes(b"float graph")
    np.save(scratch / "inputs.npy", INPUTS)
    np.save(scratch / "logits.npy", LOGITS)
    return BundleFiles(
        engine=scratch / "made.engine",
        engine_name="engine.blob",
        float_graph=scratch / "made.onnx",
        quantized_graph=None,
        selftest_inputs=scratch / "inputs.npy",
        selftest_logits=scratch / "logits.npy",
    )


def write_sample_bundle(folder: Path, card: Card | None = None) -> Manifest:
    """Write a sample bundle to ``folder``, its parts beside it."""
    scratch = folder.parent / "parts"
    scratch.mkdir(exist_ok=True)
    return write_bundle(folder, sample_files(scratch), card or sample_card())


class FakeBoard:
    """A board that gives the same logits for whatever it is asked."""

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self.logits = logits
        self.ran: list[Path] = []

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Refuse: it has no clock."""
        raise MeasureError(f"a fake board measures nothing; got {engine.name}, {variant}, {target.name}, {protocol.name}")

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:  # noqa: ARG002  the port's signature
        """Write the given logits."""
        assert inputs.is_file()
        assert target.threads == 1
        self.ran.append(engine)
        scratch = out.with_suffix(".part.npy")
        np.save(scratch, self.logits)
        shutil.move(scratch, out)
