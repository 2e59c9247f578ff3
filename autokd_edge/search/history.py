"""What a study says of its members: who was probed, who fits and by how much, who was taught."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from autokd_edge.core.events import Probed, Taught
from autokd_edge.core.limits import Slack
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Cost, Failed, Lesson, Member, Pupil, Screened
from autokd_edge.core.study import Study

# A reading of 0 (memory under the null engine's, say) has no logarithm: it counts as a millionth of the limit.
_LEAST_RATIO = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A member that was measured, by its best variant; ``slacks`` in the order of the limits, all of them device limits."""

    member: Member
    cost: Cost
    measurement: Measurement
    slacks: tuple[Slack, ...]

    @property
    def fits(self) -> bool:
        """Say whether all device limits are kept."""
        return all(slack.excess <= 0 for slack in self.slacks)

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """Return log(reading / limit) for each limit: negative is kept."""
        return tuple(math.log(max(_LEAST_RATIO, 1 + slack.excess)) for slack in self.slacks)

    @property
    def worst(self) -> float:
        """Return the largest excess; minus infinity where there is no limit."""
        return max((slack.excess for slack in self.slacks), default=-math.inf)

    @property
    def latency(self) -> float:
        """Return the reading that the latency limit bounds, in ns; the median where there is no such limit."""
        return next((slack.reading for slack in self.slacks if slack.limit == "latency"), self.measurement.slowness)


class _Same:
    """A study that equals itself alone: comparing one value by value would take longer than what is remembered of it."""

    __slots__ = ("study",)

    def __init__(self, study: Study) -> None:
        self.study = study

    def __hash__(self) -> int:
        return id(self.study)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.study is other.study


def readings(study: Study) -> tuple[Reading, ...]:
    """Return the measured members, in order of events."""
    return _readings(_Same(study))


def fitting(study: Study) -> tuple[Reading, ...]:
    """Return the measured members that keep all device limits, in order of events."""
    return _fitting(_Same(study))


# A choice asks for them ten times over, of the study and of what it was when a batch began.
@lru_cache(maxsize=2)
def _readings(of: _Same) -> tuple[Reading, ...]:
    found = []
    for probed in of.study.probes:
        if isinstance(probed.outcome, Screened):
            best = of.study.best(probed.outcome)
            found.append(Reading(member=probed.member, cost=probed.outcome.cost, measurement=best, slacks=of.study.slacks(best)))
    return tuple(found)


@lru_cache(maxsize=2)
def _fitting(of: _Same) -> tuple[Reading, ...]:
    return tuple(reading for reading in readings(of.study) if reading.fits)


def refused(study: Study) -> tuple[Member, ...]:
    """Return the members that could not be lowered, built or measured for a reason of their own, in order of events.

    A time limit or a lost file says nothing of a network: what may succeed when tried again is left out.
    """
    return tuple(probed.member for probed in study.probes if isinstance(probed.outcome, Failed) and not probed.outcome.retryable)


def chosen(study: Study) -> tuple[Probed, ...]:
    """Return the probes that the strategy chose, in order: those of members that had been taught for another goal are left out."""
    taught_s: dict[Member, float] = {}
    for taught in study.teachings:
        taught_s.setdefault(taught.pupil.member, taught.at_s)
    return tuple(probed for probed in study.probes if probed.at_s <= taught_s.get(probed.member, math.inf))


def asked(study: Study) -> frozenset[Member]:
    """Return every member that was probed, whatever came of it."""
    return frozenset(probed.member for probed in study.probes)


def searched(study: Study) -> tuple[Taught, ...]:
    """Return the teachings of the search, those on lower rungs included, the final ones left out."""
    return tuple(taught for taught in study.teachings if not taught.final)


def own_teachings(study: Study) -> tuple[Taught, ...]:
    """Return the teachings of the search that this goal asked for."""
    return tuple(taught for taught in searched(study) if taught.goal == study.number)


def lessons(study: Study) -> tuple[tuple[Pupil, float], ...]:
    """Return the pupils that the search taught to the end, each with its validation accuracy in %."""
    whole = (taught for taught in searched(study) if taught.of_steps is None)
    return tuple((taught.pupil, taught.outcome.accuracy) for taught in whole if isinstance(taught.outcome, Lesson))


def judged(study: Study) -> tuple[tuple[Taught, float], ...]:
    """Return every lesson of the search, on whatever rung, with its validation accuracy in %."""
    return tuple((taught, taught.outcome.accuracy) for taught in searched(study) if isinstance(taught.outcome, Lesson))


def suitable(study: Study) -> tuple[tuple[Pupil, float], ...]:
    """Return the lessons of pupils whose member keeps all device limits of this goal."""
    members = {reading.member for reading in fitting(study)}
    return tuple((pupil, accuracy) for pupil, accuracy in lessons(study) if pupil.member in members)


def tried(study: Study) -> frozenset[Pupil]:
    """Return every pupil that the search taught or failed to teach, or is teaching."""
    return frozenset(taught.pupil for taught in searched(study)) | frozenset(running(study))


def running(study: Study) -> tuple[Pupil, ...]:
    """Return the pupils that the search is teaching beside others, in order."""
    return tuple(begun.pupil for begun in study.running if not begun.final)


def as_it_was(study: Study, before_s: float) -> Study:
    """Return the study as it was when only the events that ended before so many seconds of work had happened."""
    ends_s = tuple(end for end in study.ends_s if end < before_s)
    return replace(
        study,
        probes=tuple(event for event in study.probes if event.at_s < before_s),
        confirmations=tuple(event for event in study.confirmations if event.at_s < before_s),
        beginnings=tuple(event for event in study.beginnings if event.at_s < before_s),
        teachings=tuple(event for event in study.teachings if event.at_s < before_s),
        grades=tuple(event for event in study.grades if event.at_s < before_s),
        ends_s=ends_s,
        elapsed_s=ends_s[-1],
    )


def before_probes(study: Study, count: int) -> Study:
    """Return the study as it was when only the first ``count`` probes had been made, its teachings kept."""
    return replace(study, probes=study.probes[:count])
