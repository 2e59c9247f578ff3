"""How long things take in a study, read from its own events."""

from __future__ import annotations

import statistics
from itertools import pairwise

from autokd_edge.core.pupil import Lesson
from autokd_edge.core.rungs import added_steps
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study

# Probes, teachings and gradings looked at: the latest ones, since the pace changes with what is chosen.
_LATEST = 16


def probe_s(study: Study) -> float:
    """Return the usual seconds of one probe, the policy's own share included; 0 before the first."""
    return _usual(study, [probed.at_s for probed in study.probes])


def teach_s(study: Study, steps: int | None = None) -> float:
    """Return the usual seconds that so many steps of a search's teaching take, by default all of one; 0 before the first."""
    began_s = {(begun.pupil, begun.steps): begun.at_s for begun in study.beginnings if not begun.final}
    previous = dict(pairwise(reversed(study.ends_s)))
    took = [
        (taught.at_s - began_s.get((taught.pupil, taught.steps), previous[taught.at_s])) / added for taught, added in added_steps(study)
    ]
    usual_s = statistics.median(took[-_LATEST:]) if took else 0.0
    return usual_s * (study.config.search_steps if steps is None else steps)


def confirm_s(study: Study) -> float:
    """Return the usual seconds of reading an untrained finalist by the final protocol; 0 before the first."""
    return _usual(study, [confirmed.at_s for confirmed in study.confirmations])


def grade_s(study: Study) -> float:
    """Return the usual seconds of grading one engine; 0 before the first."""
    return _usual(study, [graded.at_s for graded in study.grades])


def steps_per_s(study: Study, architecture: Point) -> float | None:
    """Return the optimiser steps a second that members of a family were taught at, of all where none of it was; None before the first."""
    rates = [
        (taught.pupil.member.architecture == architecture, taught.steps / taught.outcome.seconds)
        for taught in study.teachings
        if isinstance(taught.outcome, Lesson) and taught.outcome.seconds > 0
    ]
    own = [rate for is_own, rate in rates if is_own]
    return statistics.median(own or [rate for _, rate in rates]) if rates else None


def _usual(study: Study, ends_s: list[float]) -> float:
    """Return the median seconds since the event before each of these."""
    previous = dict(pairwise(reversed(study.ends_s)))
    return statistics.median([end - previous[end] for end in ends_s[-_LATEST:]]) if ends_s else 0.0
