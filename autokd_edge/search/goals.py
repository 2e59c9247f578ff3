"""Several goals in one search: each has a policy of its own on its own view of the study, and they take turns.

A lesson of the search serves every goal, so a pupil that was taught for one is asked of the devices of the
others at once: that costs seconds where a teaching costs minutes. When no goal wants to search any more,
the finals follow, one goal after another, and share what is left of a time budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from autokd_edge.core.events import Action, Confirm, GradeEngine, Probe, Stop, Taught, Teach, Wait
from autokd_edge.core.limits import Budget
from autokd_edge.core.pupil import Member
from autokd_edge.core.rungs import steps_for
from autokd_edge.core.study import Study
from autokd_edge.search.finals import began_s, begun
from autokd_edge.search.history import asked, chosen, lessons
from autokd_edge.search.plan import Plan

_TEACHING_WEIGHS = 8  # probes: a batch of them and a teaching are a turn each


class TakesTurns(Protocol):
    """A policy of one goal that says when it may be interrupted; both verbs are pure functions of the goal's view."""

    def next(self, study: Study) -> Action:
        """Return the next action for the goal."""

    def is_mid_turn(self, study: Study) -> bool:
        """Say whether what was begun for this goal goes on before another goal's turn."""


class GoalsInTurn:
    """Serves the goal for which least was done so far; ``policies`` are in the order of the goals."""

    def __init__(self, policies: Sequence[TakesTurns], plan: Plan | None = None) -> None:
        if not policies:
            raise ValueError("there must be a policy for each goal; got none")
        self._policies = tuple(policies)
        self._plan = plan or Plan()

    def next(self, study: Study) -> Action:
        """Return the next action, with the number of its goal; a pure function of the study."""
        views = [study.of(goal) for goal in range(len(self._policies))]
        if len(views) == 1:
            return self._policies[0].next(views[0])
        interrupted = [policy.is_mid_turn(view) for policy, view in zip(self._policies, views, strict=True)]
        lent = None if any(interrupted) else _lent(views)
        if lent is not None:
            return lent
        stops, finals, waits = dict[int, Stop](), list[int](), False
        for goal in sorted(range(len(views)), key=lambda goal: (not interrupted[goal], _done(views[goal]), goal)):
            action = self._policies[goal].next(views[goal])
            if isinstance(action, Stop):
                stops[goal] = action
            elif isinstance(action, Wait):
                waits = True
            elif _is_final(action):
                finals.append(goal)
            else:
                return replace(action, goal=goal)
        if waits:
            return Wait()
        for place, goal in enumerate(sorted(finals)):
            action = self._final(study, goal, share=1 / (len(finals) - place))
            if not isinstance(action, Stop):
                return action
            stops[goal] = action
        return Stop(reason="; ".join(f"{study.config.goals[goal].target}: {stops[goal].reason}" for goal in sorted(stops)))

    def _final(self, study: Study, goal: int, *, share: float) -> Action:
        """Return the next step of a goal's finals, which may take this share of the time that is left for teaching."""
        action = self._policies[goal].next(self._with_share(study.of(goal), share))
        if isinstance(action, Teach):
            action = _as_taught_before(action, study.teachings)
        return action if isinstance(action, Stop | Wait) else replace(action, goal=goal)

    def _with_share(self, view: Study, share: float) -> Study:
        """Return the study with a time budget that leaves it so much of the time for teaching since its finals began."""
        seconds = view.config.budget.seconds
        if seconds is None:
            return view
        kept, began = 1 - self._plan.grading_share, began_s(view)
        shared_s = (began + max(0.0, seconds * kept - began) * share) / kept
        budget = Budget(seconds=min(seconds, shared_s), teachings=None)
        return replace(view, config=replace(view.config, budget=budget))


def _lent(views: Sequence[Study]) -> Probe | None:
    """Return the probe of members that were taught for another goal and not asked of this one's device yet."""
    for goal, view in enumerate(views):
        known = asked(view)
        members = dict.fromkeys(pupil.member for pupil, _ in lessons(view) if pupil.member not in known)
        if members and not begun(view):
            return Probe(members=tuple[Member, ...](members), goal=goal)
    return None


def _done(view: Study) -> float:
    """Return how much was done for a goal, in probes."""
    return len(chosen(view)) + _TEACHING_WEIGHS * steps_for(view, view.number) / view.config.search_steps


def _is_final(action: Probe | Confirm | Teach | GradeEngine) -> bool:
    match action:
        case Probe(members=members):
            return any(member.index > 0 for member in members)
        case Teach(final=final):
            return final
        case Confirm() | GradeEngine():
            return True


def _as_taught_before(action: Teach, teachings: Sequence[Taught]) -> Teach:
    """Return a final teaching with the steps that the same pupil was taught for another goal: what is known is not taught again."""
    steps = next((taught.steps for taught in teachings if taught.final and taught.pupil == action.pupil), action.steps)
    return replace(action, steps=steps)
