"""What a search strategy is: it chooses members to probe and pupils to teach; the policy decides when."""

from __future__ import annotations

from typing import Protocol

from autokd_edge.core.study import Member, Pupil, Study


class Chooser(Protocol):
    """A strategy; both verbs are pure functions of the study."""

    def probe(self, study: Study, count: int) -> tuple[Member, ...]:
        """Return up to ``count`` different members that were never probed; fewer where the space is used up."""

    def teach(self, study: Study) -> Pupil | None:
        """Return a pupil that was never taught, of a member that fits; None while there is no such pupil."""
