"""What a user asks of a search, as text, and what it means; nothing is written while it is read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from autokd_edge.api.knowledge import split_start
from autokd_edge.api.qat_steps import check_qat_steps
from autokd_edge.api.targets import AskedGoal, AskedLimits, Several, asked_goals
from autokd_edge.api.tuning import check_most
from autokd_edge.core.goal import FRONTS, Traded
from autokd_edge.core.limits import MAX_QUANT_DROP, Budget, parse_budget
from autokd_edge.errors import InputError

GUIDED = "edge-bo"  # the policy that takes a user's own knowledge
BATCH = 128  # images of an optimiser step; the trainer's own
SEARCH_STEPS = 200  # of a teaching during the search
SECONDS_A_STEP = 4  # of a time budget too short for so many: 8 minutes had room for three to five teachings of 120 steps
MEMBERS = 8  # of the best family that are taught in full, time permitting
MOST_SEED = 2**32 - 1  # seeds of epochs and variants are made of it, and torch takes 64 bits
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


def cores() -> int:
    """Return how many cores of this machine may be used."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The options of ``autokd-edge search`` under the same names, unread.

    ``study``, ``store`` and ``out`` default to a name made of the configuration, an SQLite journal in
    ``out``, and ``runs/STUDY``. Steps are batches of 128 images; ``search_steps`` default to 200, in a short time budget
    to one for each 4 s of it; ``final_epochs`` says the final ones in passes over the training images. With ``rungs`` a
    student of the search is judged after ``search_steps / eta^(rungs - 1)`` steps first, and the most promising ones go
    on. ``device`` is the address of what measures, by default the machine that searches; several are a pool of boards. Of
    several targets each may have limits and devices of its own: ``pi=30ms``. ``predict`` predicts the readings of a device
    that is not here: from those that ship, "recorded", or from a file of tools/record_readings.py. ``lock_clocks`` holds
    the clocks of what measures still for the whole run, where that is permitted. ``pareto`` asks for a front of students
    instead of the best one: of accuracy against "latency", or "latency,memory". ``workers`` pupils are taught at the same
    time, each in a process of its own. ``qat_steps`` tunes INT8 engines that lose more than ``max_quant_drop``. ``tune`` is
    how many candidates of each layer of the winner are timed on its device. ``start`` holds the user's own guesses,
    ``tau=4,alpha=0.9``; ``warm_from`` is the folder of an earlier run.
    """

    data: str
    teacher: str
    target: str | Sequence[str] = "host"
    device: Several = None
    predict: Several = None
    lock_clocks: bool = False
    max_latency: Several = None
    max_memory: Several = None
    max_instructions: Several = None
    max_drop: Several = None
    max_quant_drop: str | Sequence[str] = f"{MAX_QUANT_DROP:g}"
    budget: str = "30min"
    seed: int = 0
    study: str | None = None
    store: str | None = None
    out: str | None = None
    image_size: int | None = None
    augment: str | None = None
    loss: str | None = None
    family: str = "nago"
    policy: str = GUIDED
    search_steps: int | None = None
    rungs: int = 1
    eta: int = 3
    final_steps: int | None = None
    final_epochs: float | None = None
    final_members: int = MEMBERS
    qat_steps: int = 0
    start: tuple[str, ...] = ()
    warm_from: str | None = None
    pareto: str | None = None
    workers: int = 1
    tune: int | None = None

    def goals(self) -> tuple[AskedGoal, ...]:
        """Read the targets and what is asked of each; raises InputError."""
        asked = AskedLimits(
            max_latency=self.max_latency,
            max_memory=self.max_memory,
            max_instructions=self.max_instructions,
            max_drop=self.max_drop,
            max_quant_drop=self.max_quant_drop,
            device=self.device,
            predict=self.predict,
        )
        return asked_goals(self.target, asked)

    def traded(self) -> tuple[Traded, ...]:
        """Read what accuracy is traded for; empty where one best student is wanted. Raises InputError."""
        if self.pareto is None:
            return ()
        names = tuple(name.strip() for name in self.pareto.split(","))
        found = next((front for front in FRONTS if set(front) == set(names) and len(front) == len(names)), None)
        if found is None:
            raise InputError(
                f"a front is of accuracy against {' or '.join(','.join(front) for front in FRONTS)}; got '{self.pareto}'",
                hint="--pareto latency",
            )
        return found

    def budgeted(self) -> Budget:
        """Read the budget; raises LimitError."""
        return parse_budget(self.budget)

    def steps_of_search(self) -> int:
        """Return the steps of a teaching during the search: as many as asked for, else fewer in a short time, which must do for several.

        Raises:
            LimitError: the budget cannot be read.
        """
        if self.search_steps is not None:
            return self.search_steps
        seconds = self.budgeted().seconds
        return SEARCH_STEPS if seconds is None else max(1, min(SEARCH_STEPS, int(seconds / SECONDS_A_STEP)))

    def final_steps_for(self, samples: int) -> int | None:
        """Return the steps of the last teaching on so many training images; None where the time left decides."""
        if self.final_epochs is None:
            return self.final_steps
        return math.ceil(self.final_epochs * (samples // min(BATCH, samples)))

    def check(self) -> None:
        """Refuse what can be seen from the text alone; raises InputError."""
        check_most(self.tune, predict=self.predict)
        goals, budget = self.goals(), self.budgeted()
        if budget.teachings is not None and budget.teachings < len(goals):
            raise InputError(
                f"a budget must have a teaching for each of {len(goals)} targets; got {budget.teachings}", hint=f"--budget {len(goals)}"
            )
        self._check_knowledge()
        self._check_front(goals)
        if self.study is not None and not _STUDY_NAME.match(self.study):
            raise InputError(
                f"study name must be 1 to 100 letters, digits, dots, dashes or underscores; got '{self.study}'", hint="--study my-study"
            )
        if not 0 <= self.seed <= MOST_SEED:
            raise InputError(f"seed must be 0 to {MOST_SEED}; got {self.seed}", hint="--seed 0")
        if not 1 <= self.workers <= cores():
            raise InputError(
                f"workers must be 1 to {cores()}, a core of this machine for each; got {self.workers}",
                hint=f"--workers {min(max(1, self.workers), cores())}",
            )
        if self.rungs < 1:
            raise InputError(f"rungs must be at least 1; got {self.rungs}", hint="--rungs 3")
        if not 2 <= self.eta <= 4:
            raise InputError(f"eta must be 2 to 4; got {self.eta}", hint="--eta 3")
        whole = self.steps_of_search()
        if 1 <= whole < self.eta ** (self.rungs - 1):
            raise InputError(
                f"the lowest of {self.rungs} rungs must have a step; {whole} steps over {self.eta} to the power of "
                f"{self.rungs - 1} are fewer",
                hint=f"--search-steps {max(SEARCH_STEPS, self.eta ** (self.rungs - 1))}, or fewer --rungs",
            )
        check_qat_steps(self.qat_steps)
        if self.final_epochs is not None and not 0 < self.final_epochs < math.inf:  # nor NaN
            raise InputError(f"final-epochs must be above 0; got {self.final_epochs:g}", hint="--final-epochs 20")
        if self.final_epochs is not None and self.final_steps is not None:
            raise InputError(
                f"final-steps and final-epochs say the same, so one is enough; got {self.final_steps} and {self.final_epochs:g}",
                hint=f"--final-epochs {self.final_epochs:g}",
            )
        for name, steps in (("search-steps", self.search_steps), ("final-steps", self.final_steps), ("final-members", self.final_members)):
            if steps is not None and steps < 1:
                raise InputError(f"{name} must be at least 1; got {steps}", hint=f"--{name} {MEMBERS if name == 'final-members' else 200}")

    def _check_front(self, goals: Sequence[AskedGoal]) -> None:
        """Refuse what a front cannot be searched with."""
        if not self.traded():
            return
        if len(goals) > 1:
            names = ", ".join(goal.target.name for goal in goals)
            raise InputError(f"a front is searched for one target at a time; got {names}", hint=f"--target {goals[0].target.name}")
        if self.rungs > 1:
            raise InputError(f"a front is searched with whole teachings, on one rung; got --rungs {self.rungs}", hint="--rungs 1")
        if self.workers > 1:
            raise InputError(f"a front is searched with one teaching at a time; got --workers {self.workers}", hint="--workers 1")
        if self.final_members != MEMBERS:
            raise InputError(
                f"students of a front are taught in full as they were found, without other members of their families; got "
                f"--final-members {self.final_members}",
                hint="leave --final-members out",
            )
        if goals[0].limits.instructions is not None:
            raise InputError(
                "a front is of accuracy against latency, and no latency follows from instructions; got --max-instructions",
                hint="--max-latency 30ms, or leave --pareto out",
            )

    def _check_knowledge(self) -> None:
        """Refuse guesses that cannot be read, or that the policy makes no use of."""
        for text in self.start:
            split_start(text)
        if (self.start or self.warm_from is not None) and self.policy != GUIDED:
            raise InputError(f"only {GUIDED} makes use of --start and --warm-from; got --policy {self.policy}", hint=f"--policy {GUIDED}")
