"""How long things take in a study, read from its own events."""

from __future__ import annotations

import statistics
from itertools import pairwise

from autokd_edge.core.space import Point
from autokd_edge.core.study import Lesson, Study

# Probes, teachings and gradings looked at: the latest ones, since the pace changes with what is chosen.
_LATEST = 16


def probe_s(study: Study) -> float:
    """Return the usual seconds of one probe, the policy's own share included; 0 before the first."""
    return _usual(study, [probed.at_s for probed in study.probes])


def teach_s(study: Study) -> float:
    """Return the usual seconds of one teaching of the search; 0 before the first."""
    return _usual(study, [taught.at_s for taught in study.teachings if not taught.final])


def grade_s(study: Study) -> float:
    """Return the usual seconds of grading one engine; 0 before the first."""
    return _usual(study, [graded.at_s for graded in study.grades])


def steps_per_s(study: Study, architecture: Point) -> float | None:
    """Return the optimiser steps a second that members of a family were taught at; None where none was."""
    rates = [
        taught.steps / taught.outcome.seconds
        for taught in study.teachings
        if taught.pupil.member.architecture == architecture and isinstance(taught.outcome, Lesson) and taught.outcome.seconds > 0
    ]
    return statistics.median(rates) if rates else None


def _usual(study: Study, ends_s: list[float]) -> float:
    previous = dict(pairwise(reversed(study.ends_s)))
    return statistics.median([end - previous[end] for end in ends_s[-_LATEST:]]) if ends_s else 0.0
