"""Bring events of earlier formats to today's, so that every journal ever written is still read."""

from __future__ import annotations

from autokd_edge.core.codec import KIND, Json

_GOAL = ("target", "target_digest", "limits", "device")  # what a configuration of one target said of it


def todays(event: Json) -> Json:
    """Return an event's document as it would be written today; what is no event of ours is returned as it is.

    Until format 2 a probed member had one reading, of the screening variant. Format 3 adds fields that are
    empty in earlier ones. Until then a study had one target; format 4 has goals, and events without a number are the first's.
    Format 5 adds the fields of rungs; those of earlier ones are of one rung.
    Format 6 adds what a user knew beforehand; of earlier ones, nothing.
    Format 7 adds the readings of untrained finalists, an event of their own: a study that was taught in full without goes on.
    It also adds the beginnings of teachings where there are several workers; earlier studies had one.
    Format 8 adds what accuracy is traded for in a front, and the tuning of quantised graphs; studies of before had one best
    student, and none was tuned.
    """
    if not isinstance(event, dict):
        return event
    return _with_readings(_with_goals(event))


def _with_readings(event: dict[str, Json]) -> dict[str, Json]:
    outcome = event.get("outcome")
    if not isinstance(outcome, dict) or outcome.get(KIND) != "Screened" or "measurement" not in outcome:
        return event
    others = {name: value for name, value in outcome.items() if name != "measurement"}
    return {**event, "outcome": {**others, "measurements": [outcome["measurement"]], "unread": []}}


def _with_goals(event: dict[str, Json]) -> dict[str, Json]:
    config = event.get("config")
    if not isinstance(config, dict) or "target" not in config:
        return event
    others = {name: value for name, value in config.items() if name not in _GOAL}
    goal = {name: config[name] for name in _GOAL if name in config}
    return {**event, "config": {"goals": [goal], **others}}
