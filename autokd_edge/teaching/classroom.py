"""What teaches in another process, and what it is asked and answers: names, paths and digests, as lines of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autokd_edge import errors
from autokd_edge.core.digest import Digest
from autokd_edge.core.space import Point
from autokd_edge.core.student import StudentSpec
from autokd_edge.errors import AutoKDError, DataError, StageError, TeacherError, TeachError
from autokd_edge.ports import TaughtNetwork
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.silence import Silence
from autokd_edge.teaching.teachers import NONE, load_teacher
from autokd_edge.teaching.trainer import KDDistiller


@dataclass(frozen=True, slots=True, kw_only=True)
class Classroom:
    """How a distiller is made: what a user named, and the digests of what lay there when the study was opened."""

    data: str
    image_size: int | None
    augment: str | None
    data_digest: Digest
    teacher: str
    teacher_digest: Digest | None
    loss: str
    seed: int
    cache: str  # folder of teacher outputs
    silence: str  # folder of the locks by which readings on this machine find silence

    def distiller(self) -> KDDistiller:
        """Load the data set and the teacher.

        Raises:
            InputError: one cannot be loaded, or is another than it was.
        """
        data = data_source(self.data, image_size=self.image_size, augment=self.augment).teaching()
        if data.digest != self.data_digest:
            raise DataError(
                f"data set '{self.data}' must stay as it was when the search began; its sha256 was {self.data_digest}",
                hint="undo the change, or start a new run with another --out",
            )
        teacher = None if self.teacher == NONE else load_teacher(self.teacher, data)
        if teacher is not None and teacher.digest != self.teacher_digest:
            raise TeacherError(
                f"teacher '{self.teacher}' must stay as it was when the search began; its sha256 was {self.teacher_digest}",
                hint="undo the change, or start a new run with another --out",
            )
        return KDDistiller(data, teacher, seed=self.seed, cache=Path(self.cache), loss=self.loss, pace=Silence(Path(self.silence)).broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One call of ``ports.Distiller.teach``."""

    spec: StudentSpec
    distillation: Point
    steps: int
    seed: int
    out: str
    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """What a teaching gave."""

    accuracy: float
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What a teaching ended with: the class of an error of ours, what it says and its hint."""

    error: str
    message: str
    hint: str
    retryable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to an exercise."""

    outcome: Solved | Refused


def answered(distiller: KDDistiller, exercise: Exercise) -> Answer:
    """Do an exercise; errors of ours become an answer."""
    try:
        taught = distiller.teach(
            exercise.spec,
            exercise.distillation,
            steps=exercise.steps,
            seed=exercise.seed,
            out=Path(exercise.out),
            until=exercise.until,
        )
    except AutoKDError as error:
        return refused(error)
    return Answer(outcome=Solved(accuracy=taught.accuracy, loss=taught.loss, seconds=taught.seconds))


def refused(error: AutoKDError) -> Answer:
    """Return the answer that an error is."""
    retryable = isinstance(error, StageError) and error.retryable
    return Answer(outcome=Refused(error=type(error).__name__, message=str(error.args[0]), hint=error.hint, retryable=retryable))


def taught_of(answer: Answer) -> TaughtNetwork:
    """Return what an answer gave; raises the error that it is otherwise."""
    outcome = answer.outcome
    if isinstance(outcome, Solved):
        return TaughtNetwork(accuracy=outcome.accuracy, loss=outcome.loss, seconds=outcome.seconds)
    kind = getattr(errors, outcome.error, TeachError)
    if issubclass(kind, StageError):
        raise kind(outcome.message, hint=outcome.hint, retryable=outcome.retryable)
    raise kind(outcome.message, hint=outcome.hint)
