"""The loop of a study: next action, carry it out, append the event; everything it knows is the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from functools import partial

from autokd_edge.core.events import (
    Action,
    Begun,
    Confirm,
    Confirmed,
    Event,
    Graded,
    GradeEngine,
    Opened,
    Probe,
    Probed,
    PutAside,
    Referenced,
    Stop,
    StudyConfig,
    Taught,
    Teach,
    Wait,
)
from autokd_edge.core.pupil import Failed, Lesson, Pupil
from autokd_edge.core.study import Study, advance, fold
from autokd_edge.devices.in_turn import in_turn
from autokd_edge.errors import StoreError
from autokd_edge.pipeline.at_work import AtWork
from autokd_edge.pipeline.evaluate import Evaluator
from autokd_edge.ports import Journal, Policy

Watch = Callable[[Study, Action | None], None]  # called before each step; None while the teacher is read

_LOOKED_UP_S = 1.0  # how often who watches hears of a study that waits
_MOST_SAID = 200  # characters of a value in an error: the lessons of an earlier study would fill pages


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLoop:
    """One study, its journal and its clock; ``watch`` is shown every study and the action that comes next.

    There is one evaluator for each goal, in their order.
    """

    name: str
    journal: Journal
    evaluators: Sequence[Evaluator]
    policy: Policy
    watch: Watch

    def run(self, config: StudyConfig) -> tuple[Study, Stop]:
        """Open the study or go on with it until the policy stops.

        Raises:
            StoreError: a study of this name has another configuration.
            StageError: the teacher could not be read on the target.
        """
        recorder, at_work = _Recorder(self.name, self.journal), AtWork()
        if recorder.study is None:
            recorder.record(partial(Opened, config=config))
        check_same(self.name, recorder.current.config, config)
        for goal, evaluator in enumerate(self.evaluators):
            if recorder.current.of(goal).reference is None:
                self.watch(recorder.current, None)
                with self._departures_told(goal, recorder):
                    read = evaluator.reference()
                facts = partial(Referenced, accuracy=read.accuracy, cost=read.cost, measurements=read.measurements, goal=goal)
                recorder.record(facts)
        for begun in recorder.current.running:  # of a run that was cut off: they go on from what was saved
            at_work.begin(begun, self._lesson(begun))
        while True:
            self._take_in(at_work, recorder)
            action = self.policy.next(recorder.current)
            self.watch(recorder.current, action)
            match action:
                case Stop():
                    return recorder.current, action
                case Wait():
                    while not self._take_in(at_work, recorder, timeout_s=_LOOKED_UP_S):
                        self.watch(recorder.current, action)
                case Teach() if config.workers > 1:
                    self._begin(action, at_work, recorder)
                case _:
                    with self._departures_told(action.goal, recorder):
                        self._carry_out(action, recorder, at_work)

    def _begin(self, action: Teach, at_work: AtWork, recorder: _Recorder) -> None:
        pupil, steps, final, goal, whole = action.pupil, action.steps, action.final, action.goal, action.of_steps
        recorder.record(partial(Begun, pupil=pupil, steps=steps, final=final, goal=goal, of_steps=whole))
        at_work.begin(recorder.current.beginnings[-1], self._lesson(action))

    def _lesson(self, asked: Teach | Begun) -> Callable[[], Lesson | Failed]:
        """Return the teaching of what was asked, up to a rung where it pauses on one."""
        teach = partial(self.evaluators[asked.goal].teach, asked.pupil)
        return partial(teach, asked.steps) if asked.of_steps is None else partial(teach, asked.of_steps, until=asked.steps)

    @staticmethod
    def _take_in(at_work: AtWork, recorder: _Recorder, *, timeout_s: float = 0.0) -> bool:
        """Write down the teachings that ended meanwhile; says whether there was one."""
        found = False
        while (ended := at_work.next_ended(0.0 if found else timeout_s)) is not None:
            recorder.record(_of(*ended))
            found = True
        return found

    def _carry_out(self, action: Probe | Confirm | Teach | GradeEngine, recorder: _Recorder, at_work: AtWork) -> None:
        goal, evaluator = action.goal, self.evaluators[action.goal]
        match action:
            case Probe(members=members, until_s=until_s):
                jobs = (partial(evaluator.probe, member, recorder.current.of(goal)) for member in members)
                with closing(in_turn(jobs, width=evaluator.width)) as outcomes:
                    for member in members:
                        self.watch(recorder.current, action)
                        recorder.record(partial(Probed, member=member, outcome=next(outcomes), goal=goal))
                        if evaluator.width == 1 and self._take_in(at_work, recorder):
                            return  # a worker is free: the policy says what comes first
                        if until_s is not None and recorder.current.elapsed_s > until_s:
                            return  # on a slow board a batch takes longer than the whole budget
            case Confirm(member=member, variant=variant):
                reading = evaluator.confirm(member, variant)
                recorder.record(partial(Confirmed, member=member, variant=variant, outcome=reading, goal=goal))
            case Teach():
                recorder.record(_of(action, self._lesson(action)()))
            case GradeEngine(pupil=pupil, variant=variant):
                study = recorder.current.of(goal)
                grade = evaluator.grade(pupil, steps_taught(study, pupil), variant, study)
                recorder.record(partial(Graded, pupil=pupil, variant=variant, outcome=grade, goal=goal))

    @contextmanager
    def _departures_told(self, goal: int, recorder: _Recorder) -> Iterator[None]:
        """Write down which boards of a goal were put aside meanwhile, also where the last one was lost."""
        try:
            yield
        finally:
            pool = self.evaluators[goal].pool
            for gone in () if pool is None else pool.news():
                recorder.record(partial(PutAside, device=gone.device, reason=gone.reason, goal=goal))


def _of(asked: Teach | Begun, outcome: Lesson | Failed) -> Callable[..., Taught]:
    """Return the event of a teaching that ended, but for its time."""
    pupil, steps, final, goal, whole = asked.pupil, asked.steps, asked.final, asked.goal, asked.of_steps
    return partial(Taught, pupil=pupil, steps=steps, final=final, outcome=outcome, goal=goal, of_steps=whole)


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
    differing = next(_differences(known, asked), None)
    if differing is not None:
        field, before, now = differing
        raise StoreError(
            f"study '{name}' must go on as it began; {field} was {_short(before)}, now it is {_short(now)}",
            hint="--study ANOTHER-NAME",
        )


def _differences(known: StudyConfig, asked: StudyConfig) -> Iterator[tuple[str, object, object]]:
    """Yield name, earlier and present value of each field that differs; of goals, those of each goal."""
    if len(known.goals) != len(asked.goals):
        before, now = (", ".join(goal.target for goal in config.goals) for config in (known, asked))
        yield "targets", before, now
    for one, other in zip(known.goals, asked.goals, strict=False):
        whose = f" of {one.target}" if len(known.goals) > 1 else ""
        for field in fields(one):
            if getattr(one, field.name) != getattr(other, field.name):
                yield f"{field.name}{whose}", getattr(one, field.name), getattr(other, field.name)
    for field in fields(known):
        if field.name != "goals" and getattr(known, field.name) != getattr(asked, field.name):
            yield field.name, getattr(known, field.name), getattr(asked, field.name)
