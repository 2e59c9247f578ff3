"""Show a search while it runs: phase, counts, best so far, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from autokd_edge.core.events import Action, Confirm, GradeEngine, Probe, Teach, Wait
from autokd_edge.core.rungs import spent
from autokd_edge.core.study import Study
from autokd_edge.core.variants import absences
from autokd_edge.report import wording
from autokd_edge.report.finalists import refused_count
from autokd_edge.report.outcome import lessons, taught_in_words

_OF_GOAL = (Probe, Confirm, Teach, GradeEngine)  # actions
_PHASES: Mapping[type, str] = {type(None): "reading the teacher", Probe: "asking the device", Teach: "teaching", Wait: "teaching"}
_PLAIN_EVERY_S = 5.0  # where there is no terminal, a log line now and then


class Progress:
    """A live display on a terminal, and lines of text elsewhere; ``watch`` is called by the loop."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._study: Study | None = None
        self._action: Action | None = None
        self._seen_s = time.monotonic()
        self._printed_s = -_PLAIN_EVERY_S
        self._spinner = Spinner("dots")
        self._live = Live(self, console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def watch(self, study: Study, action: Action | None) -> None:
        """Take note of the study and of what comes next; None is the teacher's reading."""
        for gone in study.put_aside[len((self._study or study).put_aside) :]:
            self._say(wording.put_aside(gone))
        said = left_out(self._study or study)
        for text in (text for text in left_out(study) if text not in said):
            self._say(text)
        changed = type(action) is not type(self._action)
        now_s = time.monotonic()
        if study is not self._study:  # while teachings are waited for it is the same again and again
            self._seen_s = now_s
        self._study, self._action = study, action
        if self._live is None and (changed or now_s - self._printed_s >= _PLAIN_EVERY_S):
            self._printed_s = now_s
            self._console.print(" | ".join((self._name, *self._facts(study))), soft_wrap=True, highlight=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._study is None:
            return
        grid = Table.grid(padding=(0, 2))
        phase, *facts = self._facts(self._study)
        grid.add_row(self._spinner, Text(phase, style="bold"), *(Text(fact) for fact in facts))
        yield grid

    def _say(self, text: str) -> None:
        self._console.print(f"{self._name} | {text}", soft_wrap=True, highlight=False, markup=False)

    def _facts(self, study: Study) -> tuple[str, ...]:
        views = [study.of(goal) for goal in range(len(study.config.goals))]
        fits = sum(view.fits(probed) for view in views if view.reference is not None for probed in view.probes)
        counts = f"{len(study.probes)} probed ({fits} fit), {taught_in_words(study)} taught, {len(study.grades)} graded"
        refused = sum(refused_count(view) for view in views)
        counts += f", {len(study.running)} being taught" if study.running else ""
        counts += f", {refused} finalist{'s' * (refused > 1)} refused" if refused else ""
        whose = f" for {study.config.goals[self._action.goal].target}" if len(views) > 1 and isinstance(self._action, _OF_GOAL) else ""
        return (f"{phase_of(self._action)}{whose}", counts, best_so_far(study), self._left(study))

    def _left(self, study: Study) -> str:
        budget = study.config.budget
        if budget.seconds is None:
            return f"{max(0.0, (budget.teachings or 0) - spent(study)):.3g} teachings left"
        left = max(0.0, budget.seconds - study.elapsed_s - (time.monotonic() - self._seen_s))
        return f"{int(left) // 60}:{int(left) % 60:02d} left"


def phase_of(action: Action | None) -> str:
    """Say what is being done."""
    match action:
        case Confirm(variant=variant):
            return f"reading the untrained finalist by the final protocol, {variant}"
        case Teach(final=True):
            return "teaching the finalist"
        case GradeEngine(variant=variant):
            return f"grading {variant}"
        case _:
            return _PHASES.get(type(action), "finishing")


def left_out(study: Study) -> tuple[str, ...]:
    """Say for each goal which backends are left out because the machine lacks their device."""
    views = [study.of(goal) for goal in range(len(study.config.goals))]
    found = [(view.goal.target, variant, why) for view in views for variant, why in absences(view).values()]
    return tuple(f"{variant} on {target}: {wording.left_out(variant, why)}" for target, variant, why in found)


def best_so_far(study: Study) -> str:
    """Say the best validation accuracy that was taught so far."""
    best = max((lesson for _, lesson in lessons(study)), key=lambda lesson: lesson.accuracy, default=None)
    return "none taught yet" if best is None else f"best {wording.percent(best.accuracy)} (validation)"
