"""What teachings of a study cost in steps, where they pause on rungs and go on later."""

from __future__ import annotations

from collections.abc import Iterator

from autokd_edge.core.events import Begun, Taught
from autokd_edge.core.pupil import Lesson, Pupil
from autokd_edge.core.study import Study


def added_steps(study: Study) -> Iterator[tuple[Taught, int]]:
    """Yield each teaching of the search, in order, with the optimiser steps that it added to those of lower rungs."""
    reached: dict[Pupil, int] = {}
    for taught in study.teachings:
        if taught.final:
            continue
        yield taught, taught.steps - reached.get(taught.pupil, 0)
        if isinstance(taught.outcome, Lesson):
            reached[taught.pupil] = taught.steps


def running_steps(study: Study) -> Iterator[tuple[Begun, int]]:
    """Yield each teaching of the search that was begun beside others and runs, in order, with the steps that it will have added."""
    reached = {taught.pupil: taught.steps for taught, _ in added_steps(study) if isinstance(taught.outcome, Lesson)}
    for begun in study.running:
        if not begun.final:
            yield begun, begun.steps - reached.get(begun.pupil, 0)


def steps_for(study: Study, goal: int) -> int:
    """Return the optimiser steps of the search's teachings that a goal asked for, those that run included."""
    ended = sum(steps for taught, steps in added_steps(study) if taught.goal == goal)
    return ended + sum(steps for begun, steps in running_steps(study) if begun.goal == goal)


def spent(study: Study) -> float:
    """Return how many whole teachings of the search the steps so far come to."""
    return sum(steps for _, steps in added_steps(study)) / study.config.search_steps
