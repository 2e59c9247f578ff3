"""The loop of a study: next action, carry it out, append the event; everything it knows is the journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

from autokd_edge.core.study import (
    Action,
    Event,
    Graded,
    GradeEngine,
    Opened,
    Probe,
    Probed,
    Pupil,
    Referenced,
    Stop,
    Study,
    StudyConfig,
    Taught,
    Teach,
    advance,
    fold,
)
from autokd_edge.errors import StoreError
from autokd_edge.pipeline.evaluate import Evaluator
from autokd_edge.ports import Journal, Policy

Watch = Callable[[Study, Action | None], None]  # called before each step; None while the teacher is read

_MOST_SAID = 200  # characters of a value in an error: the lessons of an earlier study would fill pages


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLoop:
    """One study, its journal and its clock; ``watch`` is shown every study and the action that comes next."""

    name: str
    journal: Journal
    evaluator: Evaluator
    policy: Policy
    watch: Watch

    def run(self, config: StudyConfig) -> tuple[Study, Stop]:
        """Open the study or go on with it until the policy stops.

        Raises:
            StoreError: a study of this name has another configuration.
            StageError: the teacher could not be read on the target.
        """
        recorder = _Recorder(self.name, self.journal)
        if recorder.study is None:
            recorder.record(partial(Opened, config=config))
        study = recorder.current
        check_same(self.name, study.config, config)
        if study.reference is None:
            self.watch(study, None)
            read = self.evaluator.reference()
            recorder.record(lambda at_s: Referenced(accuracy=read.accuracy, cost=read.cost, measurements=read.measurements, at_s=at_s))
        while True:
            action = self.policy.next(recorder.current)
            self.watch(recorder.current, action)
            if isinstance(action, Stop):
                return recorder.current, action
            self._carry_out(action, recorder)

    def _carry_out(self, action: Probe | Teach | GradeEngine, recorder: _Recorder) -> None:
        match action:
            case Probe(members=members):
                for member in members:
                    self.watch(recorder.current, action)
                    recorder.record(partial(Probed, member=member, outcome=self.evaluator.probe(member, recorder.current)))
            case Teach(pupil=pupil, steps=steps, final=final):
                lesson = self.evaluator.teach(pupil, steps)
                recorder.record(partial(Taught, pupil=pupil, steps=steps, final=final, outcome=lesson))
            case GradeEngine(pupil=pupil, variant=variant):
                study = recorder.current
                grade = self.evaluator.grade(pupil, steps_taught(study, pupil), variant, study.config.limits)
                recorder.record(partial(Graded, pupil=pupil, variant=variant, outcome=grade))


def steps_taught(study: Study, pupil: Pupil) -> int:
    """Return the steps of a pupil's last teaching."""
    return next(taught.steps for taught in reversed(study.teachings) if taught.pupil == pupil)


class _Recorder:
    """Appends events with the seconds of work so far; pauses between runs do not count."""

    def __init__(self, name: str, journal: Journal) -> None:
        self._name = name
        self._journal = journal
        events = list(journal.read(name))
        self.study = fold(events) if events else None
        self._before_s = self.study.elapsed_s if self.study else 0.0
        self._began = time.monotonic()

    @property
    def current(self) -> Study:
        """The study so far; there is one once it was opened."""
        assert self.study is not None, "Opened is the first event"
        return self.study

    def record(self, event_at: Callable[..., Event]) -> None:
        """Append the event that ``event_at(at_s=...)`` makes, durably, and advance the study."""
        event = event_at(at_s=self._before_s + time.monotonic() - self._began)
        self._journal.append(self._name, event)
        self.study = advance(self.study, event)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}..."


def check_same(name: str, known: StudyConfig, asked: StudyConfig) -> None:
    """Refuse to go on with a study under another configuration; the StoreError names the first field that differs."""
    for field in fields(StudyConfig):
        before, now = getattr(known, field.name), getattr(asked, field.name)
        if before != now:
            raise StoreError(
                f"study '{name}' must go on as it began; {field.name} was {_short(before)}, now it is {_short(now)}",
                hint="--study ANOTHER-NAME",
            )
