"""What is believed of accuracies at the end of a teaching, learnt from lessons on every rung.

A lesson on a lower rung is one observation, with its rung as a column more. Its accuracy is brought to the end by what
pupils gained on the way there, as the median of those that went it; what networks differ in on that way is left to the
column. With one rung there is neither.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from autokd_edge.core.pupil import Pupil
from autokd_edge.core.study import Study
from autokd_edge.search.candidates import Candidates
from autokd_edge.search.compression import compressed
from autokd_edge.search.encode import Rows
from autokd_edge.search.history import judged, suitable
from autokd_edge.search.ladder import paused, rung_of
from autokd_edge.search.prior import fit_after, recalled_model
from autokd_edge.search.surrogate import Columns, Surrogate, Unfit

_LESSONS = 5  # before there is a model: on tables of devices, one of three lessons chose worse than chance for some time
_LESSONS_AFTER = 2  # the same after an earlier study, which knows more than two networks say


class Accuracies:
    """Models of accuracy over the rows of ``candidates``."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    def model(self, study: Study) -> tuple[Surrogate | Unfit, Rows]:
        """Return a model of all lessons' compressed accuracies, and the rows that an improvement is over.

        Those are of the pupils that keep this goal's limits, at the end of their teaching; while none got there, of those
        that paused; and while there is none, of the worst one: any that fits improves.
        """
        known = judged(study)
        own = [pupil for pupil, _ in suitable(study)] or [one.pupil for one in paused(study)]
        baseline = self.ends(study, own or [taught.pupil for taught, _ in sorted(known, key=lambda one: one[1])[:1]])
        if len(known) < lessons_needed(study):
            return Unfit(reason=f"accuracy is modelled from {lessons_needed(study)} lessons; there are {len(known)}"), baseline
        x = self._rows([taught.pupil for taught, _ in known])
        rungs = _rungs(study)
        columns = self._candidates.accuracy_columns
        if study.config.rungs > 1:
            x = _with_column(x, np.array(rungs) / (study.config.rungs - 1))
            columns = Columns(first=columns.first, stepped=(*columns.stepped, False))
        gained = gains(study)
        y = np.array([accuracy + sum(gained[rung:]) for (_, accuracy), rung in zip(known, rungs, strict=True)])
        return fit_after(x, compressed(y), columns, recalled_model(study.config.recalled, self._candidates)), baseline

    def ends(self, study: Study, pupils: Sequence[Pupil]) -> Rows:
        """Return the rows of pupils at the end of their teaching."""
        return at_end(study, self._rows(pupils))

    def _rows(self, pupils: Sequence[Pupil]) -> Rows:
        return self._candidates.rows([(pupil.member.architecture, pupil.distillation) for pupil in pupils])


def lessons_needed(study: Study) -> int:
    """Return the lessons before there is a model: few where an earlier study stands behind it."""
    return _LESSONS_AFTER if study.config.recalled else _LESSONS


def at_end(study: Study, rows: Rows) -> Rows:
    """Return rows ``(n, d)`` with the last rung's column; as they are where there is one rung."""
    return rows if study.config.rungs == 1 else _with_column(rows, np.ones(len(rows)))


def gains(study: Study) -> tuple[float, ...]:
    """Return what pupils gained from each rung to the next, in points; 0 where none went that way."""
    reached: dict[Pupil, dict[int, float]] = {}
    for (taught, accuracy), rung in zip(judged(study), _rungs(study), strict=True):
        reached.setdefault(taught.pupil, {})[rung] = accuracy
    found = []
    for rung in range(study.config.rungs - 1):
        steps = [on[rung + 1] - on[rung] for on in reached.values() if rung in on and rung + 1 in on]
        found.append(statistics.median(steps) if steps else 0.0)
    return tuple(found)


def _rungs(study: Study) -> list[int]:
    """Return the rung of each lesson, counted from 0."""
    return [rung_of(study, taught) for taught, _ in judged(study)]


def _with_column(rows: Rows, column: Rows) -> Rows:
    return np.concatenate([rows, column[:, None]], axis=1)
