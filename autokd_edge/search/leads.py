"""Which family goes into the final, and which of its members.

Never tried comes first, then the margin that the last finalist lacked, then accuracy. Where those that the search taught
lack that margin, a student that was measured and never taught is better than none.
"""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.events import Begun, Taught
from autokd_edge.core.limits import accuracy_slack
from autokd_edge.core.pupil import Grade, Member, Pupil
from autokd_edge.core.space import Point
from autokd_edge.core.study import Study, keeps
from autokd_edge.search import confirmations
from autokd_edge.search.history import Reading, fitting, lessons, readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A pupil of the search whose family goes into the final, and the members that may do, the fastest first."""

    pupil: Pupil
    accuracy: float
    times_taught: int  # in full, members of the family
    times_refused: int  # the same, by the final protocol before they were taught
    is_confirmed: bool  # the member that is the first
    members: tuple[Reading, ...]


class Leads:
    """What may lead the final of one study at one moment."""

    def __init__(self, study: Study, *, finals: tuple[Taught, ...], running: tuple[Begun, ...], refused: frozenset[Member]) -> None:
        """Look at a study, the final teachings that ended and that run, and the members that the final protocol refused."""
        self._study = study
        self._finals = finals
        self._running = running
        self._refused = refused
        self._families: dict[Point, list[Reading]] = {}  # that fit and were not refused, the fastest first
        for reading in sorted(fitting(study), key=lambda r: (r.latency, r.member.index)):
            if reading.member not in refused:
                self._families.setdefault(reading.member.architecture, []).append(reading)

    def first(self) -> Lead | None:
        """Return the most promising pupil: never tried, with the margin that the last finalist lacked, most accurate."""
        leads = []
        for pupil, accuracy in lessons(self._study):
            family = self.untaught(pupil)
            if family:
                lead = Lead(
                    pupil=pupil,
                    accuracy=accuracy,
                    times_taught=sum(final.pupil.member.architecture == pupil.member.architecture for final in self._finals),
                    times_refused=sum(member.architecture == pupil.member.architecture for member in self._refused),
                    is_confirmed=confirmations.is_confirmed(self._study, family[0].member),
                    members=tuple(family),
                )
                leads.append(lead)
        most = self._excess_allowed()

        def order(lead: Lead) -> tuple[float, ...]:
            lacking = max(0.0, lead.members[0].worst - most)
            return lead.times_taught, not lead.is_confirmed, lead.times_refused, lacking, -lead.accuracy

        first = min(leads, key=order, default=None)
        lacks = first is None or (not first.is_confirmed and first.members[0].worst > most)
        return (self._spare(most) if lacks else None) or first

    def _spare(self, most: float) -> Lead | None:
        """Return the slowest measured member with the margin that was lacking, to be taught as the best pupil was; None without one.

        Where those that the search taught lack the margin, a student that was never taught is better than none.
        """
        taught = lessons(self._study)
        tried = {final.pupil.member for final in self._finals}
        spare = [r for r in self._within(most) if r.member not in tried]
        if most >= 0 or not taught or not spare:
            return None
        best, accuracy = max(taught, key=lambda lesson: lesson[1])
        pupil = Pupil(member=max(spare, key=lambda r: r.latency).member, distillation=best.distillation)
        members = tuple(self.untaught(pupil))
        is_confirmed = confirmations.is_confirmed(self._study, members[0].member)
        return Lead(pupil=pupil, accuracy=accuracy, times_taught=0, times_refused=0, is_confirmed=is_confirmed, members=members)

    def with_margin(self) -> list[tuple[Pupil, float]]:
        """Return the lessons of the search that are accurate enough, of members that have the margin that finalists lacked."""
        most, limits, reference = self._excess_allowed(), self._study.goal.limits, self._study.reference
        teacher = None if reference is None else reference.accuracy
        fast = {reading.member for reading in self._within(most)}
        return [
            (pupil, accuracy)
            for pupil, accuracy in lessons(self._study)
            if pupil.member in fast and keeps(accuracy_slack(limits, accuracy, teacher))
        ]

    def untaught(self, pupil: Pupil) -> list[Reading]:
        """Return the members of a pupil's family that may be taught in full as it was and were not, the fastest first."""
        tried = {*(final.pupil for final in self._finals), *(begun.pupil for begun in self._running)}
        family = self._families.get(pupil.member.architecture, [])
        return [r for r in family if Pupil(member=r.member, distillation=pupil.distillation) not in tried]

    def _within(self, most: float) -> list[Reading]:
        """Return the readings whose worst excess is ``most`` or less, of members that the final protocol did not refuse."""
        return [reading for reading in readings(self._study) if reading.worst <= most and reading.member not in self._refused]

    def _excess_allowed(self) -> float:
        """Return the excess at probing that would have passed the final reading, by the finalists so far.

        A finalist probed at 0.95 times the limit and read at 1.1 times in the end, or before it was taught, says
        that 0.86 times (an excess of -0.14) is needed. 0 where no finalist broke a device limit.
        """
        probed = {reading.member: reading.worst for reading in readings(self._study)}
        read = [(final.pupil.member, self._graded_excess(final.pupil)) for final in self._finals]
        read += [(member, confirmations.least_excess(self._study, member)) for member in self._refused]
        broken = [(member, excess) for member, excess in read if excess is not None and excess > 0 and member in probed]
        return min([0.0, *((1 + probed[member]) / (1 + excess) - 1 for member, excess in broken)])

    def _graded_excess(self, pupil: Pupil) -> float | None:
        """Return the worst excess of a finalist's engine that was read nearest to the limits; None where none was graded."""
        grades = [g.outcome for g in self._study.grades if g.pupil == pupil and isinstance(g.outcome, Grade)]
        return min((max((s.excess for s in self._study.slacks(g.measurement)), default=0.0) for g in grades), default=None)
