"""The last phase of a front: teach its pupils in full, one after the other, and grade their engines.

Taught are the pupils that no other beats in accuracy and costs, five at most, each as it was found: in the order in which
each adds most hypervolume, so that where the time ends early the front is coarser and not shorter. If then no engine
keeps all limits, the cheapest pupil follows, which has most margin. Each is read by the final protocol before.
"""

from __future__ import annotations

from autokd_edge.core.events import Action, Stop, Teach
from autokd_edge.core.front import front_of
from autokd_edge.core.pupil import Pupil
from autokd_edge.search import pace
from autokd_edge.search.finals import Finals, none_kept
from autokd_edge.search.front import in_order, member_costs
from autokd_edge.search.history import Reading, readings


class FrontFinals(Finals):
    """The final phase of one study at one moment."""

    def next(self) -> Action:
        """Return the next action of the final phase."""
        ungraded = self._ungraded()
        if ungraded is not None:
            return ungraded
        front, rest = front_of(self._study), self._rest()
        if not rest and not front:
            rest = self._cheapest()
        is_time = not self._finals or self._shared_s(1) > 0
        if rest and is_time:
            return self._confirm([self._reading(rest[0])]) or Teach(pupil=rest[0], steps=self._shared_steps(rest), final=True)
        if front:
            return Stop(reason=f"of {len(self._study.grades)} engines graded, {len(front)} are on the front of those that keep all limits")
        budget = self._study.config.budget
        why = "no other taught candidate is left" if is_time else f"the budget of {budget} leaves no time for another finalist"
        return Stop(reason=none_kept(self._study, f"{why}{self._refused_in_words()}"))

    def _rest(self) -> tuple[Pupil, ...]:
        """Return the pupils of the front that are still to be taught in full."""
        return tuple(pupil for pupil in in_order(self._study)[: self._plan.front] if not self._was_tried(pupil))

    def _cheapest(self) -> tuple[Pupil, ...]:
        """Return the pupil of the front with the lowest costs, where it was not tried."""
        costs = member_costs(self._study)
        found = min(in_order(self._study), key=lambda pupil: costs[pupil.member], default=None)
        return () if found is None or self._was_tried(found) else (found,)

    def _was_tried(self, pupil: Pupil) -> bool:
        """Say whether a pupil was taught in full, or refused by the final protocol before."""
        return pupil.member in self._refused or any(final.pupil == pupil for final in self._finals)

    def _reading(self, pupil: Pupil) -> Reading:
        return next(reading for reading in readings(self._study) if reading.member == pupil.member)

    def _shared_steps(self, rest: tuple[Pupil, ...]) -> int:
        """Return the optimiser steps of the next one; under a time budget as many share the time left as get enough each.

        What the search taught is never less: those steps are there already.
        """
        config = self._study.config
        if config.final_steps is not None:
            return config.final_steps
        if config.budget.seconds is None:
            return self._plan.final_factor * config.search_steps
        steps = 0
        for sharers in range(len(rest), 0, -1):
            steps = int(self._shared_s(sharers) / sum(self._step_s(pupil) for pupil in rest[:sharers]))
            if steps >= self._plan.front_factor * config.search_steps:
                break
        return max(config.search_steps, steps)

    def _shared_s(self, sharers: int) -> float:
        """Return the seconds left for teaching so many, their grading kept; without end where the budget is not a time."""
        seconds = self._study.config.budget.seconds
        return float("inf") if seconds is None else seconds - self._study.elapsed_s - sharers * self._grading_s()

    def _step_s(self, pupil: Pupil) -> float:
        rate = pace.steps_per_s(self._study, pupil.member.architecture)
        assert rate is not None, "a pupil of the front was taught in the search"
        return 1 / rate
