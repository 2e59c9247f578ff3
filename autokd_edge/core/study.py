"""A study as the fold of its events; nothing about it is kept anywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from autokd_edge.core.digest import Digest
from autokd_edge.core.goal import Goal
from autokd_edge.core.limits import Budget, Slack, accuracy_slack, device_slacks
from autokd_edge.core.measure import Measurement
from autokd_edge.core.quantization import Quantized
from autokd_edge.core.space import Point
from autokd_edge.core.target import Variant

Stage: TypeAlias = Literal["lower", "build", "measure", "teach", "quantize", "grade"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One network of a family: the family's parameters and the number of the sample, from 0."""

    architecture: Point
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """A member with the distillation parameters it is taught by."""

    member: Member
    distillation: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Exact counts of the deployed network, batch norm folded; activations are the largest live sum."""

    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A stage that ended without a result; no number stands in for it."""

    stage: Stage
    error: str  # class of the error
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A variant in which an untrained member gave no reading."""

    variant: Variant
    failure: Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """An untrained member was measured on the target (screen protocol); the screening variant's reading comes first."""

    cost: Cost
    measurements: tuple[Measurement, ...]  # one a variant, in the order taken
    unread: tuple[Unread, ...] = ()

    def __post_init__(self) -> None:
        variants = [m.variant for m in self.measurements] + [unread.variant for unread in self.unread]
        if not self.measurements or len(set(variants)) != len(variants):
            raise ValueError(
                f"a screened member must have a reading, and one for each variant; got {', '.join(map(str, variants)) or 'none'}"
            )

    def reading(self, variant: Variant) -> Measurement | None:
        """Return the reading of a variant, if there is one."""
        return next((m for m in self.measurements if m.variant == variant), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A pupil was taught: accuracy in % on the validation set, of the float network.

    ``checkpoint`` is None where the teaching paused on a rung before its end.
    """

    accuracy: float
    loss: float
    checkpoint: Digest | None
    seconds: float

    def __post_init__(self) -> None:
        _check_percent(self.accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A taught pupil's engine was measured (final protocol) and graded on the validation set, in %."""

    accuracy: float
    measurement: Measurement
    float_graph: Digest
    graph: Digest  # the graph that the engine was built from: the float one, or the quantised one
    engine: Digest
    quantized: Quantized | None = None  # how a quantised engine passed its gate

    def __post_init__(self) -> None:
        _check_percent(self.accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A lesson of an earlier study, by its validation accuracy in %."""

    pupil: Pupil
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConfig:
    """What identifies a study; the same configuration continues the same study.

    Events and actions name a goal by its number in ``goals``.
    """

    goals: tuple[Goal, ...]
    data: str
    data_digest: Digest
    teacher: str
    teacher_digest: Digest
    family: str
    policy: str
    budget: Budget
    search_steps: int  # optimiser steps of a teaching during the search
    final_steps: int | None  # of the last, longer teaching; None: what the time budget leaves
    seed: int
    protocols: dict[str, Digest]
    final_members: int = 8  # of the best family that are probed for the last teaching, and taught while there is time
    loss: str = "kd"  # what students are taught by; studies of before had no other
    rungs: int = 1  # on how many a teaching of the search is judged, the last one its end
    eta: int = 3  # how many times as many steps the next rung has
    starts: tuple[Point, ...] = ()  # the user's own guesses: values of some parameters of either space
    recalled: tuple[Recalled, ...] = ()  # what an earlier study of another target, teacher or data set taught

    def __post_init__(self) -> None:
        names = [goal.target for goal in self.goals]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a study must have a goal, and one for each target; got {', '.join(names) or 'none'}")
        if self.rungs < 1 or self.eta < 2:
            raise ValueError(f"there must be at least 1 rung, eta must be at least 2; got {self.rungs} and {self.eta}")

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """The optimiser steps after which a teaching of the search is judged, the whole of it at last."""
        return tuple(max(1, round(self.search_steps / self.eta**below)) for below in reversed(range(self.rungs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The study began."""

    config: StudyConfig
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Referenced:
    """The teacher was graded (validation, %) and measured on the target, once for each protocol.

    ``accuracy`` is None where there is no teacher; ``measurements`` are empty and ``cost`` is None where it has no graph.
    """

    accuracy: float | None
    cost: Cost | None
    measurements: tuple[Measurement, ...]
    at_s: float
    goal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A member was asked of the device."""

    member: Member
    outcome: Screened | Failed
    at_s: float
    goal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """A pupil was taught for a number of optimiser steps in all; ``final`` marks the last, longer teaching.

    ``goal`` is the one that asked for it; a lesson of the search serves them all. ``of_steps`` are the steps of the
    whole teaching where it paused on a rung before its end; None where it ended.
    """

    pupil: Pupil
    steps: int
    final: bool
    outcome: Lesson | Failed
    at_s: float
    goal: int = 0
    of_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A taught pupil was built in one variant, measured and graded."""

    pupil: Pupil
    variant: Variant
    outcome: Grade | Failed
    at_s: float
    goal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The bundle was written; ``bundle`` is the digest of its manifest."""

    pupil: Pupil
    variant: Variant
    bundle: Digest
    at_s: float
    goal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAside:
    """A board of a goal's pool was put aside for the rest of a run; ``device`` is its address."""

    device: str
    reason: str
    at_s: float
    goal: int = 0


Event: TypeAlias = Opened | Referenced | Probed | Taught | Graded | Shipped | PutAside


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Ask the device about these members."""

    members: tuple[Member, ...]
    goal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Teach:
    """Teach one pupil for a number of optimiser steps, those of lower rungs included; see ``Taught``."""

    pupil: Pupil
    steps: int
    final: bool
    goal: int = 0
    of_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeEngine:
    """Build, measure and grade a taught pupil in one variant."""

    pupil: Pupil
    variant: Variant
    goal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nothing is left to do."""

    reason: str


Action: TypeAlias = Probe | Teach | GradeEngine | Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything known so far; made by ``fold`` and never mutated. Tuples are in order of events.

    What compares with limits is asked of a study of one goal; ``of`` returns it.
    """

    config: StudyConfig
    references: tuple[Referenced, ...]
    probes: tuple[Probed, ...]
    teachings: tuple[Taught, ...]
    grades: tuple[Graded, ...]
    shipments: tuple[Shipped, ...]
    ends_s: tuple[float, ...]  # when each event ended, those of other goals included
    elapsed_s: float  # seconds of work, pauses between runs not counted
    put_aside: tuple[PutAside, ...] = ()
    number: int = 0  # of the goal that this is the view of

    def of(self, goal: int) -> Study:
        """Return what concerns one goal: its readings, grades and final teachings, and the lessons of the search, whoever asked."""
        if len(self.config.goals) == 1:
            return self
        return replace(
            self,
            config=replace(self.config, goals=(self.config.goals[goal],)),
            references=tuple(event for event in self.references if event.goal == goal),
            probes=tuple(event for event in self.probes if event.goal == goal),
            teachings=tuple(event for event in self.teachings if event.goal == goal or not event.final),
            grades=tuple(event for event in self.grades if event.goal == goal),
            shipments=tuple(event for event in self.shipments if event.goal == goal),
            put_aside=tuple(event for event in self.put_aside if event.goal == goal),
            number=goal,
        )

    @property
    def goal(self) -> Goal:
        """The goal of a study that has one."""
        (goal,) = self.config.goals
        return goal

    @property
    def reference(self) -> Referenced | None:
        """The teacher on the target of a study of one goal; None before it was read."""
        assert len(self.config.goals) == 1, "each goal has a reference of its own"
        return self.references[-1] if self.references else None

    @property
    def shipped(self) -> Shipped | None:
        """What was shipped last for a study of one goal, if anything was."""
        assert len(self.config.goals) == 1, "each goal has a bundle of its own"
        return self.shipments[-1] if self.shipments else None

    def slacks(self, measurement: Measurement) -> tuple[Slack, ...]:
        """Compare a reading with the device limits, by the teacher's reading of the same protocol."""
        assert self.reference is not None, "the teacher is measured before any student"
        teacher = next((m for m in self.reference.measurements if m.protocol == measurement.protocol), None)
        return device_slacks(self.goal.limits, measurement, teacher)

    def grade_slacks(self, grade: Grade) -> tuple[Slack, ...]:
        """Compare a graded engine with all limits, the accuracy floor included."""
        assert self.reference is not None, "the teacher is measured before any student"
        return (
            *self.slacks(grade.measurement),
            *accuracy_slack(self.goal.limits, grade.accuracy, self.reference.accuracy),
        )

    def best(self, screened: Screened) -> Measurement:
        """Return the reading of the variant that keeps the device limits best; the fastest one where there is no limit."""

        def worst(measurement: Measurement) -> tuple[float, float]:
            return max((slack.excess for slack in self.slacks(measurement)), default=0.0), measurement.slowness

        return min(screened.measurements, key=worst)

    def fits(self, probed: Probed) -> bool:
        """Say whether a member was measured and keeps all device limits in one of its variants."""
        return isinstance(probed.outcome, Screened) and keeps(self.slacks(self.best(probed.outcome)))


def _check_percent(accuracy: float) -> None:
    if not 0 <= accuracy <= 100:  # nor NaN, which every comparison would let through
        raise ValueError(f"accuracy must be 0 to 100 %; got {accuracy}")


def keeps(slacks: tuple[Slack, ...]) -> bool:
    """Say whether no limit is broken."""
    return all(slack.excess <= 0 for slack in slacks)


def fold(events: Iterable[Event]) -> Study:
    """Fold events, oldest first, into a study; the first one must be ``Opened``."""
    study: Study | None = None
    for event in events:
        study = advance(study, event)
    if study is None:
        raise ValueError("a study must begin with Opened; got no event")
    return study


def advance(study: Study | None, event: Event) -> Study:
    """Return the study after one more event."""
    if isinstance(event, Opened):
        if study is not None:
            raise ValueError("a study must be opened once")
        return Study(
            config=event.config,
            references=(),
            probes=(),
            teachings=(),
            grades=(),
            shipments=(),
            ends_s=(event.at_s,),
            elapsed_s=event.at_s,
        )
    if study is None:
        raise ValueError(f"a study must begin with Opened; got {type(event).__name__}")
    study = replace(study, ends_s=(*study.ends_s, event.at_s), elapsed_s=event.at_s)
    match event:
        case Referenced():
            study = replace(study, references=(*study.references, event))
        case Probed():
            study = replace(study, probes=(*study.probes, event))
        case Taught():
            study = replace(study, teachings=(*study.teachings, event))
        case Graded():
            study = replace(study, grades=(*study.grades, event))
        case Shipped():
            study = replace(study, shipments=(*study.shipments, event))
        case PutAside():
            study = replace(study, put_aside=(*study.put_aside, event))
    return study
