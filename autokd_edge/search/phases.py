"""What every policy has in common: it searches, then come the finals, then it stops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from autokd_edge.core.events import Action, Stop
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.search.finals import Finals, begun
from autokd_edge.search.front_finals import FrontFinals
from autokd_edge.search.plan import Plan


class Phases(ABC):
    """A policy of two phases; the first is the subclass's."""

    def __init__(self, variants: tuple[Variant, ...], plan: Plan | None, members: Callable[[Point], int] | None) -> None:
        """Make a policy; ``members`` is ``StudentFamily.members``, None where every family has enough of them."""
        if not variants:
            raise ValueError("a policy must have at least one variant to grade")
        self._variants = variants
        self._plan = plan or Plan()
        self._members = members

    def next(self, study: Study) -> Action:
        """Return the next action; a pure function of the study."""
        if study.shipped is not None:
            return Stop(reason="the bundle is written")
        if not begun(study):
            action = self._search(study)
            if action is not None:
                return action
        finals = FrontFinals if study.goal.pareto else Finals
        return finals(study, self._plan, self._variants, self._members).next()

    def is_mid_turn(self, study: Study) -> bool:
        """Say whether what was begun for this goal goes on before another goal's turn; a pure function of the study."""
        return not begun(study) and self._is_mid_turn(study)

    @abstractmethod
    def _search(self, study: Study) -> Action | None:
        """Return the next action of the search, or None where the finals are due."""

    @abstractmethod
    def _is_mid_turn(self, study: Study) -> bool:
        """Say whether the search stopped inside of what it chose at once."""
