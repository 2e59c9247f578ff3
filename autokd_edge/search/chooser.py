"""What a search strategy is: it chooses members to probe and pupils to teach; the policy decides when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.study import Study
from autokd_edge.search.ladder import Paused


class Chooser(Protocol):
    """A strategy; both verbs are pure functions of the study."""

    def probe(self, study: Study, count: int) -> tuple[Member, ...]:
        """Return up to ``count`` different members that were never probed; fewer where the space is used up."""

    def teach(self, study: Study) -> Pupil | None:
        """Return a pupil that was never taught, of a member that fits; None while there is no such pupil."""

    def promising(self, study: Study, among: Sequence[Paused]) -> Paused:
        """Return the one of at least one that promises most at the end of its teaching."""
