"""What a bundle says of itself: its files by SHA-256, what runs it, what it was measured to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import Digest
from autokd_edge.core.limits import Limits, Slack
from autokd_edge.core.measure import Fingerprint, Measurement
from autokd_edge.core.pupil import Cost, Pupil
from autokd_edge.core.quantization import Quantized
from autokd_edge.core.student import StudentSpec
from autokd_edge.core.target import Target, Variant
from autokd_edge.core.tuning import Tuning
from autokd_edge.errors import BundleError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
COPY = "copy the bundle again from where it was made"
_NUMBERS = re.compile(r"\[\n([-+.,\deE\s]*)\]")  # never inside a string, which holds no bare line break

Network: TypeAlias = Literal["teacher", "student float", "student engine", "network in fp32", "engine"]
Split: TypeAlias = Literal["validation", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of the bundle."""

    name: str
    sha256: Digest
    size_bytes: int

    def __post_init__(self) -> None:
        if PurePosixPath(self.name).name != self.name or self.name in {"", "..", MANIFEST}:
            raise ValueError(f"a bundle's file must be a plain name other than {MANIFEST}; got '{self.name}'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From uint8 pixels to the engine's input; ``mean`` and ``std`` per channel, in units of pixel / 255."""

    formula: Literal["(pixel / 255 - mean) / std"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """The engine's only input."""

    name: str
    shape: tuple[int, int, int, int]  # (1, c, h, w)
    dtype: Literal["float32"]
    layout: Literal["NCHW"]
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        channels = {self.shape[1], len(self.preprocessing.mean), len(self.preprocessing.std)}
        if self.shape[0] != 1 or len(channels) != 1:
            raise ValueError(f"input must be one image with a mean and a std for each channel; got shape {self.shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """One accuracy, and what computed it where."""

    what: Network
    split: Split
    percent: float
    computed_by: str  # runtime and precision, "openvino int8"
    machine: str  # processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A measurement of the teacher's engine or of the network's own, with its raw samples."""

    what: Literal["teacher", "student engine", "engine"]
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The package that runs the engine: its name is the same to install and to import."""

    package: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherFacts:
    """Whom the student learnt from; ``none`` where it learnt from labels alone. ``cost`` is that of its graph, if it has one."""

    name: str
    digest: Digest
    cost: Cost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentFacts:
    """The network that was shipped and how it was made."""

    spec: StudentSpec
    cost: Cost
    pupil: Pupil


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Everything about a bundle but its files; ``slacks`` compare the shipped engine with ``limits``.

    ``teacher`` and ``student`` are None where the network did not come from a search; ``study`` is then its name.
    """

    study: str
    data: str
    target: Target  # as it was when the engine was measured
    variant: Variant
    runtime: Runtime | None  # None where the engine is a program of its own
    toolchain: dict[str, str]
    fingerprint: Fingerprint
    input: ModelInput
    labels: tuple[str, ...]
    accuracies: tuple[Accuracy, ...]
    measurements: tuple[Reading, ...]
    teacher: TeacherFacts | None
    student: StudentFacts | None
    limits: Limits
    slacks: tuple[Slack, ...]
    selftest_tolerance: float  # largest absolute difference of a logit
    splits: dict[str, int] = field(default_factory=dict)  # images of "train", "validation" and "test"
    quantized: Quantized | None = None  # how the engine's graph was quantised, layers in float and tuning included
    tuning: Tuning | None = None  # what was tried on the board; the choices are in the graph that the engine was built from

    def __post_init__(self) -> None:
        spec = None if self.student is None else self.student.spec
        if spec is not None and len(self.labels) != spec.classes:
            raise ValueError(f"labels must be as many as the student's classes, {spec.classes}; got {len(self.labels)}")
        if spec is not None and self.input.shape[1:] != spec.input:
            raise ValueError(f"input must be the student's, {spec.input}; got {self.input.shape[1:]}")
        if not self.selftest_tolerance > 0:
            raise ValueError(f"selftest_tolerance must be positive; got {self.selftest_tolerance}")

    @property
    def predicted(self) -> bool:
        """Say whether the readings are predicted: then the engine's file is the graph that a board is to build."""
        return any(reading.measurement.prediction is not None for reading in self.measurements)

    def accuracy(self, what: Network, split: Split) -> Accuracy | None:
        """Return one of the accuracies, if it was computed."""
        return next((a for a in self.accuracies if a.what == what and a.split == split), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The document ``manifest.json``; ``files`` are all the others, the engine apart."""

    schema_version: int
    created: str  # UTC, ISO 8601
    package_version: str
    engine: FileEntry
    files: tuple[FileEntry, ...]
    card: Card

    def __post_init__(self) -> None:
        names = [self.engine.name, *(file.name for file in self.files)]
        if len(set(names)) != len(names):
            raise ValueError(f"a bundle's files must have different names; got {', '.join(names)}")
        if self.engine.sha256 != self.shipped.engine:
            raise ValueError(f"the engine must be the measured one, sha256 {self.shipped.engine}; got {self.engine.sha256}")

    @property
    def shipped(self) -> Measurement:
        """The last reading of the network in the variant that is shipped."""
        readings = [r.measurement for r in self.card.measurements if r.what != "teacher" and r.measurement.variant == self.card.variant]
        if not readings:
            raise ValueError(f"a bundle must hold a measurement of its engine, {self.card.variant}; got none")
        return readings[-1]


def manifest_bytes(manifest: Manifest) -> bytes:
    """Write a manifest as JSON, indented, with each list of numbers on one line."""
    text = json.dumps(encode(manifest), indent=1, allow_nan=False)
    return (_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n").encode()


def manifest_from_bytes(data: bytes, *, bundle: str) -> Manifest:
    """Read a manifest; ``bundle`` names it in messages.

    Raises:
        BundleError: it is not JSON, of another schema version, or breaks the schema.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise BundleError(f"{MANIFEST} of bundle '{bundle}' must be JSON; {error}", hint=COPY) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"schema version of bundle '{bundle}' must be {SCHEMA_VERSION}; got {version}",
            hint="use the version of autokd-edge that wrote it: pip install autokd-edge==VERSION",
        )
    try:
        return decode(Manifest, document)
    except CodecError as error:
        raise BundleError(f"{MANIFEST} of bundle '{bundle}' breaks the schema: {error}", hint=COPY) from error
