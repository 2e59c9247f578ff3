"""Compare searches for a front (``--pareto latency``) on a table of architectures with latencies of real devices.

    python tools/bench/search_front.py --table nb201_devices.csv.gz --accuracy cifar100-test-12ep \
        --latency raspberry_pi_4_ms --quantile 0.5 --teachings 30 --seeds 5 --json OUT

After each teaching, the share of the exact front's hypervolume that the taught networks reach: accuracy against the
logarithm of latency, from the reference point of the limit (the quantile of the measured latencies) and half of the best
accuracy within it. It is one point for all policies, other than the one that a search goes by. ``edge-bo-best`` is the search
for the one best student, whose taught networks are looked at in the same way. Resumable: runs in the JSON file are not done
again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_facts import facts
from table_world import NOTHING, VARIANT, Entry, Paths, Table, TableWorld, read_table

from autokd_edge.core.events import Probe, Teach
from autokd_edge.core.goal import Traded
from autokd_edge.search.chooser import Chooser
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.front_bo import FrontBO
from autokd_edge.search.hypervolume import hypervolume
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser

PROBES = 32  # for each teaching, as in search_tables.py
FLOOR = 0.5  # of the best accuracy: what is less accurate counts for nothing
SHOWN = (5, 10, 15, 20, 25, 30, 50, 100)  # teachings


def main() -> None:
    """Run what the JSON file lacks, write it after every run, print the summary."""
    args = _arguments()
    done: list[dict[str, Any]] = json.loads(args.json.read_text())["runs"] if args.json.exists() else []
    table = read_table(args.table, args.accuracy, args.latency)
    for seed in range(args.seeds):
        for policy in args.policies.split(","):
            key = {"accuracy": args.accuracy, "latency": args.latency, "quantile": args.quantile, "policy": policy, "seed": seed}
            if any(all(run[name] == value for name, value in key.items()) and len(run["reached"]) >= args.teachings for run in done):
                continue
            done.append({**key, **_run(table, key, args.teachings)})
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps({**facts(), "summary": _summary(done), "runs": done}, indent=1) + "\n")
            print(json.dumps({**key, "reached": done[-1]["reached"][-1], "seconds": done[-1]["seconds"]}), file=sys.stderr)
    print("\n".join(map(json.dumps, _summary(done))))


def _run(table: Table, key: Mapping[str, Any], teachings: int) -> dict[str, Any]:
    bound, slowest, began = table.bound_ns(key["quantile"]), 0.0, time.monotonic()
    pareto: tuple[Traded, ...] = () if key["policy"] == "edge-bo-best" else ("latency",)
    world = TableWorld(table=table, bound_ns=bound, teachings=teachings, seed=key["seed"], policy=key["policy"], pareto=pareto)
    policy = PhasedPolicy(CHOOSERS[key["policy"]](table), (VARIANT,), Plan(pool=PROBES, batch=PROBES, most_probes=10**6))
    while len(world.study.teachings) < teachings:
        asked = time.monotonic()
        action = policy.next(world.study)
        slowest = max(slowest, time.monotonic() - asked)
        if not isinstance(action, Probe | Teach):
            break
        world.do(action)
    return {
        "reached": reached(world),
        "probes": len(world.study.probes),
        "seconds": round(time.monotonic() - began, 1),
        "slowest_choice_s": round(slowest, 2),
    }


def reached(world: TableWorld) -> list[float]:
    """Return the share of the exact hypervolume after each teaching."""
    table, bound = world.table, world.bound_ns
    floor, worst = FLOOR * table.optimum(bound), np.log([float(bound)])

    def volume(entries: Sequence[Entry]) -> float:
        fitting = [(e.accuracy, e.latency_ns) for e in entries if e.latency_ns is not None and e.latency_ns <= bound and e.accuracy > floor]
        best = _undominated(fitting)
        values = np.array([accuracy for accuracy, _ in best])
        costs = np.log([[float(latency)] for _, latency in best]).reshape(-1, 1)
        return hypervolume(values, costs, floor=floor, worst=worst)

    exact = volume(list(table.entries.values()))
    taught = [table.entries[event.pupil.member.architecture] for event in world.study.teachings]
    return [round(volume(taught[:count]) / exact, 6) for count in range(1, len(taught) + 1)]


def _undominated(points: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return the points that no other beats: the steps of thousands would be a matrix of millions."""
    kept: list[tuple[float, int]] = []
    for accuracy, latency in sorted(points, key=lambda point: (point[1], -point[0])):
        if not kept or accuracy > kept[-1][0]:
            kept.append((accuracy, latency))
    return kept


def _random(table: Table) -> Chooser:
    return RandomChooser(table.space, NOTHING)


def _front(table: Table) -> Chooser:
    return FrontBO(table.space, NOTHING, describe=Paths(table.space))


def _best(table: Table) -> Chooser:
    return EdgeBO(table.space, NOTHING, describe=Paths(table.space))


CHOOSERS: Mapping[str, Callable[[Table], Chooser]] = {"edge-bo": _front, "edge-bo-best": _best, "random-gate": _random}


def _summary(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names, rows = ("accuracy", "latency", "quantile", "policy"), []
    for key in dict.fromkeys(tuple(run[name] for name in names) for run in runs):
        same = [run for run in runs if tuple(run[name] for name in names) == key]
        length = min(len(run["reached"]) for run in same)
        row: dict[str, Any] = {**dict(zip(names, key, strict=True)), "seeds": len(same)}
        row["reached"] = {str(n): _quartiles([run["reached"][n - 1] for run in same]) for n in SHOWN if n <= length}
        row["slowest_choice_s"] = max(run["slowest_choice_s"] for run in same)
        rows.append(row)
    return rows


def _quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return [values[0]] * 3 if len(values) < 2 else [round(q, 4) for q in statistics.quantiles(values, n=4, method="inclusive")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV, also gzipped")
    parser.add_argument("--accuracy", required=True, help="column in %%")
    parser.add_argument("--latency", required=True, help="column in ms; empty cells cannot be built")
    parser.add_argument("--quantile", type=float, default=0.5, help="share of the measured networks that fit")
    parser.add_argument("--policies", default="edge-bo,random-gate", help=f"of {', '.join(CHOOSERS)}")
    parser.add_argument("--teachings", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    unknown = [name for name in args.policies.split(",") if name not in CHOOSERS]
    if unknown:
        parser.error(f"policies must be of {', '.join(CHOOSERS)}; got '{unknown[0]}'")
    return args


if __name__ == "__main__":
    main()
