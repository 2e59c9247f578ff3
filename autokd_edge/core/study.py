"""A study as the fold of its events; nothing about it is kept anywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from autokd_edge.core.events import (
    Begun,
    Confirmed,
    Event,
    Graded,
    Opened,
    Probed,
    PutAside,
    Referenced,
    Shipped,
    StudyConfig,
    Taught,
)
from autokd_edge.core.goal import Goal
from autokd_edge.core.limits import Slack, accuracy_slack, device_slacks
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Grade, Pupil, Screened


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
    confirmations: tuple[Confirmed, ...] = ()
    beginnings: tuple[Begun, ...] = ()  # of teachings beside others, those that ended included
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
            confirmations=tuple(event for event in self.confirmations if event.goal == goal),
            beginnings=tuple(event for event in self.beginnings if event.goal == goal or not event.final),
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

    @property
    def running(self) -> tuple[Begun, ...]:
        """The teachings that were begun and did not end yet, in order."""
        if not self.beginnings:
            return ()
        ended = {_teaching(taught) for taught in self.teachings}
        return tuple(begun for begun in self.beginnings if _teaching(begun) not in ended)

    def slacks(self, measurement: Measurement) -> tuple[Slack, ...]:
        """Compare a reading with the device limits, by the teacher's reading of the same protocol, or of a longer one that was faster.

        The teacher is screened once: a second in which others slow it down would loosen the limit of every student.
        """
        assert self.reference is not None, "the teacher is measured before any student"
        read = self.reference.measurements
        from_own = [i for i, known in enumerate(read) if known.protocol == measurement.protocol]
        teacher = min(read[from_own[0] :], key=lambda known: known.slowness) if from_own else None
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
        if len(screened.measurements) == 1:
            return screened.measurements[0]

        def worst(measurement: Measurement) -> tuple[float, float]:
            return max((slack.excess for slack in self.slacks(measurement)), default=0.0), measurement.slowness

        return min(screened.measurements, key=worst)

    def fits(self, probed: Probed) -> bool:
        """Say whether a member was measured and keeps all device limits in one of its variants."""
        return isinstance(probed.outcome, Screened) and keeps(self.slacks(self.best(probed.outcome)))


def keeps(slacks: tuple[Slack, ...]) -> bool:
    """Say whether no limit is broken."""
    return all(slack.excess <= 0 for slack in slacks)


def _teaching(event: Begun | Taught) -> tuple[Pupil, int, bool, int]:
    """Return what tells one teaching from another: none is begun twice."""
    return event.pupil, event.steps, event.final, event.goal


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
        case Confirmed():
            study = replace(study, confirmations=(*study.confirmations, event))
        case Begun():
            study = replace(study, beginnings=(*study.beginnings, event))
        case Taught():
            study = replace(study, teachings=(*study.teachings, event))
        case Graded():
            study = replace(study, grades=(*study.grades, event))
        case Shipped():
            study = replace(study, shipments=(*study.shipments, event))
        case PutAside():
            study = replace(study, put_aside=(*study.put_aside, event))
    return study
