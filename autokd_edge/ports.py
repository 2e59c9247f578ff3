"""Every plug point of the product, as Protocols, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from typing import Protocol as PortProtocol

import numpy as np
import numpy.typing as npt

from autokd_edge.core.artifact import Artifact, Kind
from autokd_edge.core.digest import Digest
from autokd_edge.core.events import Action, Event
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.profile import LayerTime
from autokd_edge.core.pupil import Cost
from autokd_edge.core.quantization import FineTuningRecipe, QuantizeReport
from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.core.study import Study
from autokd_edge.core.target import Target, Variant
from autokd_edge.core.tuning import Tuning
from autokd_edge.errors import NoDeviceError

Split: TypeAlias = Literal["calibration", "validation", "test"]


class StudentFamily(PortProtocol):
    """A distribution over networks, with parameters to search."""

    @property
    def name(self) -> str:
        """The name on the command line."""

    def space(self, task: Task) -> SearchSpace:
        """Return the family's parameters for a task."""

    def members(self, architecture: Point) -> int:
        """Return how many members of a point are worth teaching in full: 1 where its parameters leave nothing to chance."""

    def spec(self, architecture: Point, task: Task, index: int) -> StudentSpec:
        """Return member number ``index`` of the family; pure: equal arguments, equal spec."""


class ImageSets(PortProtocol):
    """Preprocessed images on disk, for calibration and grading."""

    def inputs(self, split: Split) -> tuple[Path, npt.NDArray[np.int64]]:
        """Return float32 images ``(n, c, h, w)`` (.npy) and their labels ``(n,)``; only shipping asks for the test set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtNetwork:
    """What a teaching gave: accuracy in % on the validation set, the last training loss, and the seconds of all its runs."""

    accuracy: float
    loss: float
    seconds: float


class Distiller(PortProtocol):
    """Teaches a student from a teacher."""

    @property
    def space(self) -> SearchSpace:
        """The distillation parameters."""

    def teach(self, spec: StudentSpec, distillation: Point, *, steps: int, seed: int, out: Path, until: int | None = None) -> TaughtNetwork:
        """Teach for a number of optimiser steps and write the weights to ``out`` (safetensors).

        With ``until`` the lesson of ``steps`` pauses there: what was learnt so far is graded, its state stays
        beside ``out``, and a later call goes on from it to the same weights as without a pause.

        Resumable: an interrupted call leaves its state beside ``out`` and the same call goes on from
        it; where ``out`` is there already, what the teaching gave is read from its record. Equal
        arguments give equal bytes.

        Raises:
            TeachError: the loss is not finite.
        """


class Quantizer(PortProtocol):
    """Turns a float ONNX graph into a quantised one for one runtime."""

    def quantize(
        self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path, keep: Sequence[str] = ()
    ) -> QuantizeReport:
        """Quantise with the calibration images in ``samples`` (.npy, float32 ``(n, c, h, w)``, preprocessed).

        ``keep`` names layers, by what their nodes give, that stay in float.

        Raises:
            QuantizeError: the graph cannot be quantised.
        """


class FineTuner(PortProtocol):
    """Teaches a quantised graph on, with its rounding in the loop."""

    def recipe(self, distillation: Point) -> FineTuningRecipe:
        """Return how graphs of a student that was taught by these parameters are tuned."""

    def tune(self, graph: Path, recipe: FineTuningRecipe, *, out: Path) -> None:
        """Write the graph to ``out`` with weights and ranges that were tuned; its nodes stay as the quantiser made them.

        Resumable as ``Distiller.teach`` is; equal arguments give equal bytes on one machine.

        Raises:
            TeachError: the loss is not finite, or the graph has an operation that cannot be taught.
        """


class Builder(PortProtocol):
    """Compiles an ONNX graph into an engine, one file."""

    def toolchain(self) -> Mapping[str, str]:
        """Return the versions of all that decides the engine's bytes, read from the machine."""

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Write the engine to ``out``.

        Raises:
            BuildError: the compiler refused the graph.
        """


class Board(PortProtocol):
    """Runs engines on the device; each call is a fresh process there."""

    def measure(self, engine: Path, *, variant: Variant, target: Target, protocol: Protocol) -> Measurement:
        """Time an engine and read its memory by the protocol.

        Raises:
            MeasureError: no reading came back.
        """

    def infer(self, engine: Path, inputs: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Run the engine on each sample of ``inputs`` (.npy, float32 ``(n, c, h, w)``), batch 1.

        Writes logits float32 ``(n, classes)`` to ``out`` (.npy).

        Raises:
            MeasureError: the engine did not run.
        """


class LayerTimer(PortProtocol):
    """Says what a runtime's own profiler says of an engine's layers."""

    def layers(self, engine: Path, *, variant: Variant, target: Target) -> tuple[LayerTime, ...]:
        """Run an engine with the profiler on, apart from any timed run; layers in the order of execution.

        Raises:
            MeasureError: the engine did not run, or the runtime said nothing.
        """


class LibraryBuilder(PortProtocol):
    """Compiles an ONNX graph into what other programs link in; a backend that has one needs no runtime on the device."""

    def library(self, graph: Path, *, variant: Variant, target: Target, folder: Path) -> None:
        """Write the static library and its C header into ``folder``: the engine's own kernels and weights.

        Raises:
            BuildError: the compiler refused the graph.
        """

    def module(self, graph: Path, *, variant: Variant, target: Target, folder: Path) -> None:
        """Write the shared library that the compiler's own runtime loads into ``folder``: the same kernels and weights.

        Raises:
            BuildError: the compiler refused the graph.
        """


class Tuner(PortProtocol):
    """Finds by timing on the device how engines are fastest; the choices go into the graph: from it the same engine is built again."""

    def tune(self, graph: Path, *, variant: Variant, target: Target, most: int, out: Path) -> Tuning:
        """Write to ``out`` the graph with the choices that make its engine faster, at most ``most`` candidates tried of each layer.

        The engine gives the same logits to the bit. Where none is faster, the graph has no choices.

        Raises:
            BuildError: the compiler refused the graph.
            MeasureError: its engine does not run on the device.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Something on the device that a backend can do without: is it there, and if not, what that costs and the command that mends it."""

    name: str
    found: str
    usable: bool
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One runtime: its compiler, its quantiser and its way of running; some say the times of layers too."""

    name: str
    builder: Builder
    quantizer: Quantizer
    board: Board
    layer_timer: LayerTimer | None = None
    library: LibraryBuilder | None = None  # where an engine is a program of its own
    tuner: Tuner | None = None
    package: str | None = None  # what runs the engines, where that is not named as the backend is
    computed_by: str = ""  # what gives the logits, where it is not the engine itself
    extras: Callable[[], tuple[Extra, ...]] | None = None  # asks the device; raises StageError and DeviceError
    unmeasured: Callable[[Target], NoDeviceError] | None = None  # says why, where its engines are built ahead of time alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that ended."""

    status: int
    stdout: bytes
    stderr: bytes


class Link(PortProtocol):
    """A way to a device; each verb but ``run`` ends with a DeviceError where the way itself is gone."""

    @property
    def device(self) -> str | None:
        """The device's address, or None for this machine."""

    @property
    def python(self) -> tuple[str, ...]:
        """The arguments that start the Python that runtimes on the device are driven by.

        Raises:
            DeviceError: there is none, or the device cannot be asked.
        """

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout_s: float) -> Finished:
        """Run a program to its end; nothing of it is left running after a failure.

        The status is negative where a signal ended the program.

        Raises:
            MeasureError: the program cannot be started, did not end in time, or said too much.
            DeviceError: the device, or the way to it, failed.
        """

    def push(self, path: Path) -> str:
        """Put a file on the device and return its path there; nobody changes it.

        Raises:
            MeasureError: there is no such file.
            DeviceError: the device, or the way to it, failed.
        """

    def place(self, out: Path) -> str:
        """Return a path on the device for a file that a program there makes, to be pulled to ``out``.

        Raises:
            MeasureError: ``out`` cannot be written.
            DeviceError: the device, or the way to it, failed.
        """

    def pull(self, remote: str, out: Path) -> None:
        """Fetch a file from the device.

        Raises:
            MeasureError: there is no such file, or it cannot be written here.
            DeviceError: the device, or the way to it, failed.
        """


class Exclusive(PortProtocol):
    """The right to measure on a device, held by one at a time; not re-entrant."""

    def hold(self, purpose: str) -> AbstractContextManager[None]:
        """Wait for the right, hold it, and give it back.

        Raises:
            MeasureError: somebody else kept it for the whole waiting time, or took it (retryable).
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherNetwork:
    """The teacher as it is compared with students: a graph for the device where it has one, and its own answers.

    ``write_graph`` writes ONNX that reads what students read, ``input (1, c, h, w)``; None where there is no graph, and
    then ``answer`` grades it: images ``(n, c, h, w)`` to logits ``(n, classes)``, run on this machine by ``run_by``.
    """

    digest: Digest
    cost: Cost | None
    write_graph: Callable[[Path], None] | None
    answer: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
    run_by: str


class Policy(PortProtocol):
    """Decides what comes next; a pure function of the study, so that resuming is free."""

    def next(self, study: Study) -> Action:
        """Return the next action."""


class Journal(PortProtocol):
    """Append-only events of studies."""

    def read(self, study: str) -> Iterable[Event]:
        """Yield a study's events, oldest first; nothing where there is no such study.

        Raises:
            StoreError: the store is of another schema version or damaged.
        """

    def append(self, study: str, event: Event) -> None:
        """Append one event; durable on return.

        Raises:
            StoreError: the event could not be written.
        """


class ArtifactStore(PortProtocol):
    """Content-addressed files; a torn write is invisible."""

    def find(self, kind: Kind, key: Digest) -> Artifact | None:
        """Return the artifact made by the recipe of this key, if there is one."""

    def path(self, artifact: Artifact) -> Path:
        """Return the path of an artifact's bytes (read-only).

        Raises:
            StoreError: the bytes are missing or do not match their digest.
        """

    def put(self, kind: Kind, key: Digest, made: Path) -> Artifact:
        """Move a finished file into the store, atomically.

        Raises:
            StoreError: the file could not be stored (a full disk, say).
        """
