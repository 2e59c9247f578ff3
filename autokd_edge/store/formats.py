"""Bring events of earlier formats to today's, so that every journal ever written is still read."""

from __future__ import annotations

from autokd_edge.core.codec import KIND, Json


def todays(event: Json) -> Json:
    """Return an event's document as it would be written today; what is no event of ours is returned as it is.

    Until format 2 a probed member had one reading, of the screening variant. Format 3 adds fields that are empty in earlier ones.
    """
    outcome = event.get("outcome") if isinstance(event, dict) else None
    if not isinstance(outcome, dict) or outcome.get(KIND) != "Screened" or "measurement" not in outcome:
        return event
    others = {name: value for name, value in outcome.items() if name != "measurement"}
    return {**event, "outcome": {**others, "measurements": [outcome["measurement"]], "unread": []}}
