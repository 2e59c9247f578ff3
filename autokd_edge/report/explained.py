"""Why a study came to what it did, in the words that terminal and page share."""

from __future__ import annotations

from autokd_edge.core.explanation import LEAST_GAIN, Explanation, Loosened
from autokd_edge.report import wording
from autokd_edge.report.outcome import Outcome

COLUMNS = ("Parameter", "Share of accuracy's variance", "Share of latency's variance")
_SHOWN = 6  # parameters listed: the rest hardly matters
_LEAST_SHARE = 0.01


def reasons(outcome: Outcome) -> tuple[str, ...]:
    """Say which limit binds, and what 10 % more of each would change; none where nothing was explained."""
    found = outcome.explanation
    if found is None:
        return ()
    said = [_binding(found)] if found.loosened else []
    said += [_more(one, found) for one in found.loosened]
    if found.unexplained:
        said.append(f"Nothing is predicted of accuracy: {found.unexplained}.")
    return tuple(said)


def rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return the parameters that mattered most, by the study's models."""
    found = outcome.explanation
    influences = () if found is None else found.influences
    kept = [one for one in influences if max(one.accuracy or 0.0, one.latency or 0.0) >= _LEAST_SHARE]
    return [(one.parameter, _share(one.accuracy), _share(one.latency)) for one in kept[:_SHOWN]]


def _binding(found: Explanation) -> str:
    first = found.loosened[0]
    if not first.broken:
        return f"No device limit binds: all {found.measured} candidates that were read keep them."
    return (
        f"The limit that binds is {first.limit}: {first.broken} of {found.measured} candidates break it"
        f"{f', {first.broken_alone} of them no other' if len(found.loosened) > 1 else ''}."
    )


def _more(one: Loosened, found: Explanation) -> str:
    bound, loosened = (wording.quantity(one.limit, value) for value in (one.bound, one.loosened))
    counts = f"{one.fitting_then} of {found.measured} candidates would fit instead of {one.fitting}"
    if one.gain is None or one.predicted is None:
        return f"With 10 % more {one.limit} ({loosened} instead of {bound}) {counts}."
    bought = (
        f"{wording.points(one.gain)}, to {wording.percent(one.predicted)} after a teaching of the search"
        if one.gain >= LEAST_GAIN
        else "nothing"
    )
    return f"10 % more {one.limit} ({loosened} instead of {bound}) is predicted to buy {bought}; {counts}."


def _share(value: float | None) -> str:
    return "no model" if value is None else f"{value:.0%}".replace("%", " %")
