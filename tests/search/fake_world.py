"""A cheap problem with a known answer: a device and a teacher that answer by formulas."""

import math
from dataclasses import dataclass, field

from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.events import (
    Action,
    Confirm,
    Confirmed,
    Event,
    Graded,
    GradeEngine,
    Opened,
    Probe,
    Probed,
    Referenced,
    Stop,
    StudyConfig,
    Taught,
    Teach,
)
from autokd_edge.core.goal import Goal
from autokd_edge.core.limits import Budget, LatencyLimit, Limits, MemoryLimit
from autokd_edge.core.measure import Fingerprint, Measurement, Memory, Sentinel
from autokd_edge.core.pupil import Cost, Failed, Grade, Lesson, Member, Pupil, Screened
from autokd_edge.core.space import Choice, Integer, Real, SearchSpace, When
from autokd_edge.core.study import Study, fold
from autokd_edge.core.target import Variant
from autokd_edge.ports import Policy

ARCHITECTURES = SearchSpace(
    parameters=(
        Integer(name="N_t", low=3, high=10),
        Choice(name="K_t", values=(2, 4)),
        Integer(name="N_m", low=1, high=10),
        Real(name="P_m", low=0.1, high=0.9, when=When(parameter="N_m", above=1)),
        Integer(name="N_b", low=3, high=10),
        Real(name="width", low=1e4, high=1e6, log=True),
        Choice(name="op", values=("conv3x3", "separable")),
    )
)
DISTILLATIONS = SearchSpace(parameters=(Real(name="tau", low=1.0, high=20.0, log=True), Real(name="alpha", low=0.0, high=1.0)))
FP32 = Variant(backend="fake", precision="fp32")
INT8 = Variant(backend="fake", precision="int8")
TEACHER_NS = 2_000_000
NONE = Digest("0" * 64)


def measurement(latency_ns: float, memory_bytes: int = 1_000_000, protocol: str = "screen", spread: float = 0.01) -> Measurement:
    """Make a reading of two blocks whose medians differ by ``spread``."""
    low, high = round(latency_ns * (1 - spread / 2)), round(latency_ns * (1 + spread / 2))
    return Measurement(
        origin="replay",
        target="fake",
        variant=FP32,
        engine=NONE,
        protocol=protocol,
        protocol_digest=NONE,
        toolchain={},
        fingerprint=Fingerprint(
            machine="fake", processor="fake", isa_flags=(), cores=1, memory_bytes=1, system="fake", governor="fake", virtual=True
        ),
        clock="fake",
        threads=1,
        blocks_ns=((low,) * 5, (high,) * 5),
        memory=Memory(peak_rss_bytes=10_000_000 + memory_bytes, null_rss_bytes=10_000_000),
        executed={"fp32": 1},
        sentinel=Sentinel(before_ns=1000, after_ns=1000),
        flags=(),
    )


def config(  # noqa: PLR0913  one keyword for each thing that a test changes
    *,
    budget: Budget | None = None,
    latency_x: float | None = 0.25,
    memory_bytes: int | None = None,
    max_drop: float | None = None,
    seed: int = 0,
    final_steps: int | None = None,
    final_members: int = 8,
    others_x: tuple[float, ...] = (),
    rungs: int = 1,
    qat_steps: int = 0,
) -> StudyConfig:
    """Make a configuration; by default six teachings and a quarter of the teacher's latency.

    ``others_x`` adds targets "fake-1", "fake-2" and so on with these latency limits.
    """
    latency = LatencyLimit(percent=50.0, bound_ns=None, times_teacher=latency_x) if latency_x is not None else None
    memory = MemoryLimit(bound_bytes=memory_bytes, times_teacher=None) if memory_bytes is not None else None
    return StudyConfig(
        goals=(
            Goal(target="fake", target_digest=NONE, limits=Limits(latency=latency, memory=memory, max_drop=max_drop)),
            *(Goal(target=f"fake-{i}", target_digest=NONE, limits=_within(x)) for i, x in enumerate(others_x, start=1)),
        ),
        data="fake",
        data_digest=NONE,
        teacher="fake",
        teacher_digest=NONE,
        family="fake",
        policy="fake",
        budget=budget or Budget(seconds=None, teachings=6),
        search_steps=100,
        final_steps=final_steps,
        final_members=final_members,
        seed=seed,
        protocols={"screen": NONE, "final": NONE},
        rungs=rungs,
        qat_steps=qat_steps,
    )


def _within(times_teacher: float) -> Limits:
    return Limits(latency=LatencyLimit(percent=50.0, bound_ns=None, times_teacher=times_teacher), memory=None, max_drop=None)


def opening(a_config: StudyConfig) -> list[Event]:
    """Return the events before the policy is asked."""
    readings = (measurement(TEACHER_NS, protocol="screen"), measurement(TEACHER_NS, protocol="final"))
    cost = Cost(parameters=1, macs=1, activation_bytes=1)
    read = [Referenced(accuracy=94.0, cost=cost, measurements=readings, at_s=1.0 + goal, goal=goal) for goal in range(len(a_config.goals))]
    return [Opened(config=a_config, at_s=0.0), *read]


def latency_ns(member: Member, goal: int = 0) -> float:
    """Return a latency that grows with the number of operations, as NAGO's families do; members differ by 11 %.

    On the other targets separable convolutions are the fast ones, as on some phones.
    """
    point = member.architecture
    convolutions = point.integer("N_t") * point.integer("N_m") * point.integer("N_b")
    slow = 1.5 if (point["op"] == "separable") == (goal == 0) else 1.0
    wobble = 0.89 + 0.11 * (((member.index * 7) % 8) / 7)
    return 30_000.0 * convolutions**0.8 * slow * wobble * (point.number("width") / 1e5) ** 0.1


def accuracy(pupil: Pupil, steps: int) -> float:
    """Return an accuracy that grows with width, depth and steps and has its best tau near 4, in %."""
    point = pupil.member.architecture
    convolutions = point.integer("N_t") * point.integer("N_m") * point.integer("N_b")
    capacity = 1.2 * math.log(point.number("width") / 1e4) + 0.8 * math.log(convolutions)
    distance = (math.log(pupil.distillation.number("tau") / 4)) ** 2 + (pupil.distillation.number("alpha") - 0.9) ** 2
    return 84 + capacity - 0.8 * distance + 0.5 * math.log2(steps / 100)


@dataclass
class FakeWorld:
    """Answers actions with events; the ``broken_*`` kinds of failure can be switched on."""

    broken_probe: bool = False
    broken_teaching: bool = False
    broken_variants: tuple[Variant, ...] = ()  # cannot be built of what was taught
    unconfirmed_variants: tuple[Variant, ...] = ()  # cannot be read untrained by the final protocol
    final_latency_factor: float = 1.0  # of the final protocol over the screening one
    taught_latency_factor: float = 1.0  # of a taught engine over the untrained one
    probe_s: float = 2.0
    step_s: float = 0.15
    grade_s: float = 5.0
    confirm_s: float = 3.0
    events: list[Event] = field(default_factory=list)

    def open(self, a_config: StudyConfig) -> None:
        """Begin a study."""
        self.events = opening(a_config)

    @property
    def study(self) -> Study:
        """The fold of all events so far."""
        return fold(self.events)

    def do(self, action: Action) -> None:
        """Carry an action out."""
        match action:
            case Probe(members=members, until_s=until_s):
                for member in members:
                    if member != members[0] and until_s is not None and self.study.elapsed_s > until_s:
                        break
                    outcome = self._probe(member, action.goal)
                    self.events.append(Probed(member=member, outcome=outcome, at_s=self._after(self.probe_s), goal=action.goal))
            case Confirm(member=member, variant=variant):
                reading = self._confirm(member, variant, action.goal)
                at_s = self._after(self.confirm_s)
                self.events.append(Confirmed(member=member, variant=variant, outcome=reading, at_s=at_s, goal=action.goal))
            case Teach():
                self.events.append(self._teach(action))
            case GradeEngine(pupil=pupil, variant=variant):
                grade = self._grade(pupil, variant, action.goal)
                self.events.append(Graded(pupil=pupil, variant=variant, outcome=grade, at_s=self._after(self.grade_s), goal=action.goal))
            case Stop():
                raise AssertionError("nothing is done after Stop")

    def run(self, policy: Policy, most: int = 1000) -> tuple[list[Action], Stop]:
        """Ask and do until the policy stops; return the actions and the end."""
        actions: list[Action] = []
        for _ in range(most):
            action = policy.next(self.study)
            if isinstance(action, Stop):
                return actions, action
            actions.append(action)
            self.do(action)
        raise AssertionError(f"the policy did not stop within {most} actions")

    def _after(self, seconds: float) -> float:
        return self.events[-1].at_s + seconds

    def _probe(self, member: Member, goal: int) -> Screened | Failed:
        if self.broken_probe:
            return Failed(stage="build", error="BuildError", message="refused", retryable=False)
        width = round(member.architecture.number("width"))
        cost = Cost(parameters=width, macs=round(latency_ns(member)), activation_bytes=width)
        return Screened(cost=cost, measurements=(measurement(latency_ns(member, goal), memory_bytes=4 * width),))

    def _teach(self, action: Teach) -> Taught:
        same = [e for e in self.events if isinstance(e, Taught) and e.pupil == action.pupil]
        known = any(e.steps == action.steps for e in same)  # its checkpoint is there
        before = max((e.steps for e in same if e.of_steps == (action.of_steps or action.steps)), default=0)
        outcome: Lesson | Failed = Failed(stage="teach", error="TeachError", message="the loss is not finite", retryable=False)
        if not self.broken_teaching:
            checkpoint = None if action.of_steps is not None else _digest(action.pupil, action.steps)
            reached = self._reached(action.pupil, action.steps)
            outcome = Lesson(accuracy=reached, loss=1.0, checkpoint=checkpoint, seconds=action.steps * self.step_s)
        at_s = self._after(0.01 if known else (action.steps - before) * self.step_s)
        return Taught(
            pupil=action.pupil,
            steps=action.steps,
            final=action.final,
            outcome=outcome,
            at_s=at_s,
            goal=action.goal,
            of_steps=action.of_steps,
        )

    def _confirm(self, member: Member, variant: Variant, goal: int) -> Measurement | Failed:
        if variant in self.unconfirmed_variants:
            return Failed(stage="measure", error="MeasureError", message="no answer", retryable=True)
        return measurement(self._final_ns(member, variant, goal), protocol="final")

    def _final_ns(self, member: Member, variant: Variant, goal: int) -> float:
        return latency_ns(member, goal) * (0.6 if variant == INT8 else 1.0) * self.final_latency_factor

    def _reached(self, pupil: Pupil, steps: int) -> float:
        return accuracy(pupil, steps)

    def _grade(self, pupil: Pupil, variant: Variant, goal: int) -> Grade | Failed:
        if variant in self.broken_variants:
            return Failed(stage="quantize", error="QuantizeError", message="refused", retryable=False)
        lesson = next(e for e in reversed(self.events) if isinstance(e, Taught) and e.pupil == pupil)
        assert isinstance(lesson.outcome, Lesson)
        taken = self._final_ns(pupil.member, variant, goal) * self.taught_latency_factor
        lost = 0.05 if variant == INT8 else 0.0
        return Grade(
            accuracy=lesson.outcome.accuracy - lost,
            measurement=measurement(taken, protocol="final"),
            float_graph=NONE,
            graph=NONE,
            engine=NONE,
        )


def _digest(pupil: Pupil, steps: int) -> Digest:
    return digest_of_json([repr(pupil), steps])
