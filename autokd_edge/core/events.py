"""What may happen in a study, and what may be done next: its configuration, its events, its actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from autokd_edge.core.digest import Digest
from autokd_edge.core.goal import Goal
from autokd_edge.core.limits import Budget
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Cost, Failed, Grade, Lesson, Member, Pupil, Recalled, Screened
from autokd_edge.core.space import Point
from autokd_edge.core.target import Variant


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
    workers: int = 1  # pupils that are taught at the same time
    qat_steps: int = 0  # optimiser steps of tuning an INT8 graph whose engine loses too much; 0: none is tuned
    spaces_digest: Digest | None = None  # of all that can be chosen, which another version may change; studies of before have none

    def __post_init__(self) -> None:
        names = [goal.target for goal in self.goals]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a study must have a goal, and one for each target; got {', '.join(names) or 'none'}")
        if self.rungs < 1 or self.eta < 2:
            raise ValueError(f"there must be at least 1 rung, eta must be at least 2; got {self.rungs} and {self.eta}")
        if self.workers < 1:
            raise ValueError(f"there must be at least 1 worker; got {self.workers}")
        if any(goal.pareto for goal in self.goals) and (len(self.goals), self.rungs, self.workers) != (1, 1, 1):
            many = f"{', '.join(names)}, {self.rungs} rungs and {self.workers} workers"
            raise ValueError(f"a front is searched for one target, on one rung and by one worker; got {many}")

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
    """The teacher was graded (validation, %) and measured on the target, once for each protocol, the shorter ones first.

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
class Confirmed:
    """An untrained finalist was read by the final protocol in one variant, before it is taught for long."""

    member: Member
    variant: Variant
    outcome: Measurement | Failed
    at_s: float
    goal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A teaching was begun beside others; with one worker a teaching is its end alone. See ``Taught``."""

    pupil: Pupil
    steps: int
    final: bool
    at_s: float
    goal: int = 0
    of_steps: int | None = None


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


Event: TypeAlias = Opened | Referenced | Probed | Confirmed | Begun | Taught | Graded | Shipped | PutAside


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Ask the device about these members; those that were not begun ``until_s``, seconds of the study, are left out."""

    members: tuple[Member, ...]
    goal: int = 0
    until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Read an untrained finalist by the final protocol in one variant."""

    member: Member
    variant: Variant
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
class Wait:
    """Do nothing until one of the teachings that were begun ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nothing is left to do."""

    reason: str


Action: TypeAlias = Probe | Confirm | Teach | GradeEngine | Wait | Stop
