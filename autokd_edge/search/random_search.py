"""Random search: with the gate (teach at random among what fits), and without it."""

from __future__ import annotations

from collections.abc import Sequence

from autokd_edge.core.pupil import Member, Pupil
from autokd_edge.core.space import SearchSpace
from autokd_edge.core.study import Study
from autokd_edge.search.draw import grid, sample_new, stream, uniform
from autokd_edge.search.history import asked, fitting, tried
from autokd_edge.search.ladder import Paused


class RandomChooser:
    """Uniform draws from both spaces; needs nothing but numpy."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace) -> None:
        self._architectures = architectures
        self._distillations = distillations
        self._listed = grid(architectures)
        self._listed_distillations = grid(distillations)

    def probe(self, study: Study, count: int) -> tuple[Member, ...]:
        """Return ``count`` new members, uniformly."""
        seen = {member.architecture for member in asked(study)}
        rng = stream(study, "probe")
        return tuple(Member(architecture=point, index=0) for point in sample_new(self._architectures, self._listed, seen, rng, count))

    def teach(self, study: Study) -> Pupil | None:
        """Return a member that fits with random distillation parameters; members never taught come first."""
        rng = stream(study, "teach")
        done = tried(study)
        members = [reading.member for reading in fitting(study)]
        taught = {pupil.member for pupil in done}
        for group in ([m for m in members if m not in taught], [m for m in members if m in taught]):
            for i in rng.permutation(len(group)):
                seen = {pupil.distillation for pupil in done if pupil.member == group[i]}
                points = sample_new(self._distillations, self._listed_distillations, seen, rng, 1)
                if points:
                    return Pupil(member=group[i], distillation=points[0])
        return None

    def promising(self, study: Study, among: Sequence[Paused]) -> Paused:  # noqa: ARG002  the port's signature
        """Return the most accurate one of the highest rung: no model is at hand."""
        return max(among, key=lambda one: (one.rung, one.accuracy))


class RandomProposer:
    """Uniform draws from both spaces, taught whether they fit or not."""

    def __init__(self, architectures: SearchSpace, distillations: SearchSpace) -> None:
        self._chooser = RandomChooser(architectures, distillations)
        self._distillations = distillations

    def propose(self, study: Study) -> Pupil | None:
        """Return a new member with random distillation parameters."""
        members = self._chooser.probe(study, 1)
        if not members:
            return None
        return Pupil(member=members[0], distillation=next(uniform(self._distillations, stream(study, "distil"))))
