"""What the final protocol said of untrained finalists before they were taught: the same words for the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.events import Confirmed, Graded
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Member
from autokd_edge.core.study import Study, keeps
from autokd_edge.report import wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A member and its readings by the final protocol, one a variant, in the order taken."""

    member: Member
    readings: tuple[Confirmed, ...]
    kept: bool


def finalists(study: Study) -> tuple[Finalist, ...]:
    """Return who was read by the final protocol before teaching, in order."""
    found: dict[Member, list[Confirmed]] = {}
    for confirmed in study.confirmations:
        found.setdefault(confirmed.member, []).append(confirmed)
    return tuple(
        Finalist(member=member, readings=tuple(events), kept=any(is_kept(study, event) for event in events))
        for member, events in found.items()
    )


def refused_count(study: Study) -> int:
    """Return how many finalists keep the limits in no variant that was read."""
    return sum(not finalist.kept for finalist in finalists(study))


def finalists_in_words(study: Study) -> str:
    """Say how many finalists kept the limits untrained, and the nearest that did not; empty where none was read."""
    found = finalists(study)
    if not found:
        return ""
    word = wording.origins(event.outcome for one in found for event in one.readings if isinstance(event.outcome, Measurement))
    kept = sum(one.kept for one in found)
    were = "finalists were" if len(found) > 1 else "finalist was"
    said = f"{len(found)} untrained {were} read by the final protocol ({word}): {kept} kept the limits"
    broken = [
        max(study.slacks(event.outcome), key=lambda slack: slack.excess)
        for one in found
        if not one.kept
        for event in one.readings
        if isinstance(event.outcome, Measurement)
    ]
    if kept == len(found):
        return said
    refused = f"{said}, and no long teaching was spent on the other{'s' if len(found) - kept > 1 else ''}"
    return f"{refused}; nearest of those: {wording.slack(min(broken, key=lambda slack: slack.excess))}" if broken else refused


def short_lesson_in_words(study: Study, best: Graded | None) -> str:
    """Say where the best engine is of a student that no final teaching was spent on; empty where it is a finalist's."""
    if best is None or any(taught.final and taught.pupil == best.pupil for taught in study.teachings):
        return ""
    steps = next((taught.steps for taught in reversed(study.teachings) if taught.pupil == best.pupil), 0)
    return f"no finalist keeps all limits: the best student that does was taught by the search alone, for {steps:,} steps"


def is_kept(study: Study, event: Confirmed) -> bool:
    """Say whether an untrained finalist keeps all device limits in the variant that was read."""
    return isinstance(event.outcome, Measurement) and keeps(study.slacks(event.outcome))
