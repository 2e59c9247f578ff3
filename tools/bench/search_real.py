"""Compare search policies on the real thing: whole searches as a user types them, of equal wall-clock time.

    python tools/bench/search_real.py --work DIR --json tools/bench/results/search_real.json \
        [--policies edge-bo,random,bohb-paper,optuna-tpe] [--seeds 3] -- \
        --target host --data fashion-mnist --teacher example:fashion-mnist --max-latency 0.25x --budget 8min

Every search has the same options, its own folder below DIR and its own seed. Policies take turns within a seed, and who
is first changes from seed to seed, so that a machine that gets slower is unfair to nobody. What is done lies in
the JSON file; interrupted, the same command goes on, also in the middle of a search, whose clock stands still meanwhile.

Prints for each policy the median and the range of the shipped student's accuracy on the test set, which no search saw,
what it was taught and probed, and in how many seeds no student kept the limits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench_facts import facts

from autokd_edge.core.atomic import written_whole

POLICIES = "edge-bo,random,bohb-paper,optuna-tpe"
NOTHING_FITS = 3  # exit status of a search that ended well and shipped nothing
NAMED_HERE = ("--policy", "--seed", "--out", "--study", "--json")


def main() -> int:
    """Run the searches that the JSON file lacks, write it after each, print the summary."""
    given = _options()
    document = json.loads(given.json.read_text()) if given.json.exists() else {**facts(), "search": given.search, "runs": []}
    if document["search"] != given.search:
        sys.exit(f"search_real: '{given.json}' was begun with other options of a search; give another --json")
    for policy, seed in _turns(given.policies.split(","), given.seeds):
        if any((run["policy"], run["seed"]) == (policy, seed) for run in document["runs"]):
            continue
        document["runs"].append(_run(policy, seed, given))
        document["summary"] = _summary(document["runs"])
        with written_whole(given.json) as begun:
            begun.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for row in document.get("summary", []):
        print(_told(row))
    return 0


def _turns(policies: Sequence[str], seeds: int) -> Iterator[tuple[str, int]]:
    for seed in range(seeds):
        first = seed % len(policies)
        yield from ((policy, seed) for policy in (*policies[first:], *policies[:first]))


def _run(policy: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Search, or go on with the search, and say what was shipped."""
    out = given.work / f"{policy}-{seed}"
    command = [str(Path(sys.executable).with_name("autokd-edge")), "search", *given.search, "--policy", policy, "--seed", str(seed)]
    load = round(os.getloadavg()[0], 2)
    done = subprocess.run([*command, "--out", str(out), "--json"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in {0, NOTHING_FITS}:
        sys.exit(f"search_real: {policy} with seed {seed} ended with status {done.returncode}; the same command goes on")
    told = json.loads(done.stdout)
    run = {"policy": policy, "seed": seed, "load_average_before": load, "elapsed_s": round(told["elapsed_s"], 1), **told["counts"]}
    if told["best"] is not None and done.returncode == 0:
        run["shipped"] = {
            "test_percent": _accuracy(told, "test"),
            "validation_percent": told["best"]["accuracy_validation_percent"],
            "parameters": told["best"]["parameters"],
            "median_ns": told["best"]["reading"]["median_ns"],
            "precision": told["best"]["reading"]["precision"],
            "origin": told["best"]["reading"]["origin"],
        }
    print(json.dumps(run), file=sys.stderr, flush=True)
    return run


def _accuracy(told: dict[str, Any], split: str) -> float:
    """Return the accuracy of the shipped engine, as the machine that measures computed it."""
    return next(float(a["accuracy_percent"]) for a in told["accuracies"] if a["what"] == "student engine" and a["split"] == split)


def _summary(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for policy in dict.fromkeys(run["policy"] for run in runs):
        own = [run for run in runs if run["policy"] == policy]
        tests = sorted(run["shipped"]["test_percent"] for run in own if "shipped" in run)
        rows.append(
            {
                "policy": policy,
                "seeds": len(own),
                "nothing_shipped": len(own) - len(tests),
                "test_percent": {"median": statistics.median(tests), "least": tests[0], "most": tests[-1]} if tests else None,
                "taught": statistics.median(run["taught"] for run in own),
                "probed": statistics.median(run["probed"] for run in own),
                "fitting": statistics.median(run["fitting"] for run in own),
            }
        )
    return rows


def _told(row: dict[str, Any]) -> str:
    test = row["test_percent"]
    said = (
        "no student kept the limits"
        if test is None
        else f"{test['median']:.2f} % on the test set ({test['least']:.2f} to {test['most']:.2f})"
    )
    lost = f", {row['nothing_shipped']} of {row['seeds']} shipped nothing" if row["nothing_shipped"] else ""
    return f"{row['policy']:12} {said}{lost}; median {row['probed']:g} probed, {row['fitting']:g} fitting, {row['taught']:g} taught"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the searches")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--policies", default=POLICIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("search", nargs="+", help="options of `autokd-edge search`, after --")
    given = parser.parse_args()
    taken = [name for name in given.search if name.split("=")[0] in NAMED_HERE]
    if taken:
        parser.error(f"{taken[0]} is given by this benchmark; got it after --")
    return given


if __name__ == "__main__":
    sys.exit(main())
