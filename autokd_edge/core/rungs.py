"""What teachings of a study cost in steps, where they pause on rungs and go on later."""

from __future__ import annotations

from collections.abc import Iterator

from autokd_edge.core.events import Taught
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


def spent(study: Study) -> float:
    """Return how many whole teachings of the search the steps so far come to."""
    return sum(steps for _, steps in added_steps(study)) / study.config.search_steps
