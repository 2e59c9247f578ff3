"""Rungs: who is taught on, and how far.

As in asynchronous successive halving (Li et al., 2018, arXiv 1810.05934): of ``eta`` pupils on a rung one may go on
to the next, and the highest rung with such a place comes first. Who goes is not the best of the rung: the strategy
says who is the most promising at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autokd_edge.core.events import Taught
from autokd_edge.core.pupil import Failed, Pupil
from autokd_edge.core.study import Study
from autokd_edge.search.history import fitting, running, searched


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A pupil whose teaching paused on a rung, counted from 0, with its accuracy there in %."""

    pupil: Pupil
    rung: int
    accuracy: float


def paused(study: Study) -> tuple[Paused, ...]:
    """Return the pupils that could be taught on, are not, and whose member keeps all device limits, in order of their last teaching."""
    rungs = {steps: rung for rung, steps in enumerate(study.config.rung_steps)}
    found: dict[Pupil, Paused] = {}
    for taught in searched(study):
        found.pop(taught.pupil, None)
        if taught.of_steps is not None and not isinstance(taught.outcome, Failed):
            found[taught.pupil] = Paused(pupil=taught.pupil, rung=rungs[taught.steps], accuracy=taught.outcome.accuracy)
    members = {reading.member for reading in fitting(study)} if found else set()
    waiting = found.keys() - set(running(study))
    return tuple(one for one in found.values() if one.pupil in waiting and one.pupil.member in members)


def places(study: Study) -> Iterator[int]:
    """Yield the rungs of which one pupil may go on to the next, the highest first."""
    config = study.config
    steps = [*(taught.steps for taught in searched(study)), *(begun.steps for begun in study.running if not begun.final)]
    on = [steps.count(rung) for rung in config.rung_steps]  # who failed there, or is on the way there, counts as well
    for rung in reversed(range(config.rungs - 1)):
        if on[rung + 1] < on[rung] // config.eta:
            yield rung


def rung_of(study: Study, taught: Taught) -> int:
    """Return the rung, counted from 0, on which a teaching of the search is judged."""
    return study.config.rungs - 1 if taught.of_steps is None else study.config.rung_steps.index(taught.steps)
