"""What the claims' results come to: pure functions of the records, so that they can be computed again from the JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Records = Mapping[str, Mapping[str, Any]]
NEAR_POINTS = 0.3  # of the teacher's accuracy on the test set
GOALS = {"memory_times": 3.0, "parameters_times": 10.0}  # the paper's figures
EQUAL = 1.05  # latencies within 5 % count as equal


def verdicts(settings: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """Judge the three claims; ``met`` is None where the results that it needs are not there."""
    return {
        "teacher_level_with_less": _with_less(settings, records),
        "kd_on_found_beats_others_on_designed": {name: _at_equal_latency(settings, records, name) for name in settings["designed"]},
        "kd_in_the_loop_matters": _in_the_loop(settings, records),
    }


def told(claims: Mapping[str, Any]) -> list[str]:
    """Say each claim in a line, met or not and why."""
    first, loop = claims["teacher_level_with_less"], claims["kd_in_the_loop_matters"]
    lines = [f"teacher-level accuracy with less: {_word(first['met'])}: {first['why']}"]
    for name, claim in claims["kd_on_found_beats_others_on_designed"].items():
        lines.append(f"plain KD on a found student against {name}: {_word(claim['met'])}: {claim['why']}")
    return [*lines, f"KD in the loop matters: {_word(loop['met'])}: {loop['why']}"]


def _word(met: bool | None) -> str:
    return {True: "met", False: "not met", None: "not decided"}[met]


def _with_less(settings: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """Look for the smallest engine and the fewest parameters within 0.3 points of the teacher on the test set."""
    found = [records.get(f"found {name}", {}) for name in settings["designed"]]
    pairs = [(engine, record["teacher"]) for record in found if record.get("pupil") for engine in record["engines"]]
    if not pairs:
        return {"met": None, "why": "no search found a student"}
    near = [(engine, teacher) for engine, teacher in pairs if engine["test_percent"] >= teacher["test_percent"] - NEAR_POINTS]
    if not near:
        engine, teacher = max(pairs, key=lambda pair: pair[0]["test_percent"] - pair[1]["test_percent"])
        gap = teacher["test_percent"] - engine["test_percent"]
        return {
            "met": False,
            "why": f"the nearest engine is {gap:.2f} points below the teacher, more than {NEAR_POINTS}",
            "gap_points": gap,
        }
    memory = max(teacher["memory_bytes"] / engine["memory_bytes"] for engine, teacher in near if engine["memory_bytes"] > 0)
    parameters = max(teacher["parameters"] / engine["parameters"] for engine, teacher in near)
    met = memory >= GOALS["memory_times"] and parameters >= GOALS["parameters_times"]
    why = f"within {NEAR_POINTS} points with {memory:.1f}x less memory and {parameters:.1f}x fewer parameters (goals 3x and 10x)"
    return {"met": met, "why": why, "memory_times": memory, "parameters_times": parameters}


def _at_equal_latency(settings: Mapping[str, Any], records: Records, name: str) -> dict[str, Any]:
    """Compare the found student taught by plain KD with the hand-designed one taught by each loss."""
    ours = _of(records, [f"taught found {name} kd {seed}" for seed in settings["seeds"]])
    theirs = {loss: _of(records, [f"taught {name} {loss} {seed}" for seed in settings["seeds"]]) for loss in settings["losses"]}
    if not ours or not all(theirs.values()):
        return {"met": None, "why": "some results are not there"}
    accuracy, others = _spread(ours, "test_percent"), {loss: _spread(rows, "test_percent") for loss, rows in theirs.items()}
    ratio = _spread(ours, "median_ns")["mean"] / _spread([row for rows in theirs.values() for row in rows], "median_ns")["mean"]
    best = max(others, key=lambda loss: others[loss]["mean"])
    gain = accuracy["mean"] - others[best]["mean"]
    why = f"{accuracy['mean']:.2f} % against {others[best]['mean']:.2f} % by {best} at {ratio:.2f} times its latency, mean of {len(ours)}"
    if ratio > EQUAL:
        return {"met": None, "why": f"{why}; latencies are not equal", "latency_ratio": ratio, "found": accuracy, "designed": others}
    return {"met": gain > 0, "why": why, "latency_ratio": ratio, "found": accuracy, "designed": others}


def _in_the_loop(settings: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """Compare the students found with KD and by labels alone, both then taught by KD."""
    name = settings["compared"]
    groups = [_of(records, [f"taught {how} {name} kd {seed}" for seed in settings["seeds"]]) for how in ("found", "by labels")]
    if not all(groups):
        return {"met": None, "why": "some results are not there"}
    with_kd, by_labels = (_spread(group, "test_percent") for group in groups)
    why = f"{with_kd['mean']:.2f} % found with KD, {by_labels['mean']:.2f} % found by labels, both taught by KD, mean of {len(groups[0])}"
    return {"met": with_kd["mean"] > by_labels["mean"], "why": why, "with_kd": with_kd, "by_labels": by_labels}


def _of(records: Records, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the records of these names; none where one is missing or failed."""
    rows = [records.get(name, {}) for name in names]
    return rows if all("test_percent" in row for row in rows) else []


def _spread(rows: Sequence[Mapping[str, Any]], field: str) -> dict[str, Any]:
    values = [row[field] for row in rows]
    return {"mean": statistics.fmean(values), "standard_deviation": statistics.stdev(values) if len(values) > 1 else None, "values": values}
