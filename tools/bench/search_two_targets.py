"""Two targets in one search against two searches of one target, with as many teachings in all.

    python tools/bench/search_two_targets.py --table nb201_devices.csv.gz --accuracy cifar100-test-12ep \
        --latency raspberry_pi_4_ms --latency xeon_gold_6226_ms --quantile 0.2 --teachings 20 --seeds 5 --json OUT

Each limit is the quantile of its own column. Regret in points to the exact optimum of each target, after the last
teaching; what was taught for one target counts for the other where it truly fits. Resumable: runs that the JSON file
holds are not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_facts import facts
from table_world import NONE, NOTHING, PROBE_S, TEACH_S, VARIANT, Paths, Table, TableWorld, read_table

from autokd_edge.core.events import Action, Confirm, Event, GradeEngine, Opened, Probe, Probed, Stop, Taught, Teach, Wait
from autokd_edge.core.goal import Goal
from autokd_edge.core.pupil import Lesson
from autokd_edge.core.study import advance
from autokd_edge.ports import Policy
from autokd_edge.search.chooser import Chooser
from autokd_edge.search.edge_bo import EdgeBO
from autokd_edge.search.goals import GoalsInTurn
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser

PROBES = 32  # for each teaching, as in search_tables.py


class TogetherWorld:
    """A study of several goals on tables of one space; the tables' own worlds answer probes."""

    def __init__(self, worlds: Sequence[TableWorld], names: Sequence[str], teachings: int) -> None:
        self._worlds = worlds
        first = worlds[0].study.config
        limits = [world.study.goal.limits for world in worlds]
        goals = tuple(Goal(target=name, target_digest=NONE, limits=limit) for name, limit in zip(names, limits, strict=True))
        self.study = advance(None, Opened(config=replace(first, goals=goals, budget=replace(first.budget, teachings=teachings)), at_s=0.0))
        for goal, world in enumerate(worlds):
            (reference,) = world.study.references
            self._append(replace(reference, goal=goal))

    def do(self, action: Probe | Teach) -> None:
        """Carry out an action."""
        if isinstance(action, Probe):
            for member in action.members:
                outcome = self._worlds[action.goal].answer(member)
                self._append(Probed(member=member, outcome=outcome, at_s=self.study.elapsed_s + PROBE_S, goal=action.goal))
            return
        accuracy = self._worlds[action.goal].table.entries[action.pupil.member.architecture].accuracy
        lesson = Lesson(accuracy=accuracy, loss=0.0, checkpoint=NONE, seconds=TEACH_S)
        at_s = self.study.elapsed_s + TEACH_S
        self._append(Taught(pupil=action.pupil, steps=action.steps, final=False, outcome=lesson, at_s=at_s, goal=action.goal))

    def regrets(self, world: TableWorld) -> list[float]:
        """Return the regret on one target after each teaching, whoever asked for it."""
        return taught_elsewhere(world, self.study.teachings).regrets()

    def _append(self, event: Event) -> None:
        self.study = advance(self.study, event)


def taught_elsewhere(world: TableWorld, teachings: Sequence[Taught]) -> TableWorld:
    """Return a world that was taught these."""
    other = TableWorld(table=world.table, bound_ns=world.bound_ns, teachings=world.teachings, seed=world.seed, policy=world.policy)
    other.study = replace(other.study, teachings=tuple(teachings))
    return other


def main() -> None:
    """Run what the JSON file lacks, write it after every run, print the summary."""
    args = _arguments()
    done: list[dict[str, Any]] = json.loads(args.json.read_text())["runs"] if args.json.exists() else []
    tables = [read_table(args.table, args.accuracy, latency) for latency in args.latency]
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for policy in args.policies.split(","):
            key = {"accuracy": args.accuracy, "quantile": args.quantile, "teachings": args.teachings, "policy": policy, "seed": seed}
            if any(all(run[name] == value for name, value in key.items()) for run in done):
                continue
            done.append({**key, **_run(tables, args.latency, key)})
            args.json.write_text(json.dumps({**facts(), "summary": _summary(done, args.latency), "runs": done}, indent=1) + "\n")
            print(json.dumps({**key, **{kind: {n: c[-1] for n, c in done[-1][kind].items()} for kind in KINDS}}), file=sys.stderr)
    print(json.dumps(_summary(done, args.latency), indent=1))


KINDS = ("together", "alone")


def _run(tables: Sequence[Table], names: Sequence[str], key: dict[str, Any]) -> dict[str, Any]:
    share = key["teachings"] // len(tables)
    worlds = [
        TableWorld(table=table, bound_ns=table.bound_ns(key["quantile"]), teachings=share, seed=key["seed"], policy=key["policy"])
        for table in tables
    ]
    together = TogetherWorld(worlds, names, key["teachings"])
    _search(together, GoalsInTurn([_policy(key["policy"], table) for table in tables]))
    for world, table in zip(worlds, tables, strict=True):
        _search(world, _policy(key["policy"], table))
    return {
        "together": {name: together.regrets(world) for name, world in zip(names, worlds, strict=True)},
        "alone": {name: world.regrets() for name, world in zip(names, worlds, strict=True)},
        "probes": {"together": len(together.study.probes), "alone": sum(len(world.study.probes) for world in worlds)},
    }


def _search(world: TogetherWorld | TableWorld, policy: Policy) -> None:
    action: Action = policy.next(world.study)
    while not (isinstance(action, Stop | Wait | Confirm | GradeEngine) or (isinstance(action, Teach) and action.final)):
        world.do(action)
        action = policy.next(world.study)


def _policy(name: str, table: Table) -> PhasedPolicy:
    chooser: Chooser = (
        EdgeBO(table.space, NOTHING, describe=Paths(table.space)) if name == "edge-bo" else RandomChooser(table.space, NOTHING)
    )
    return PhasedPolicy(chooser, (VARIANT,), Plan(pool=PROBES, batch=PROBES, most_probes=10**6))


def _summary(runs: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the median regret at the end, together and alone, for each policy and target."""
    rows = []
    for policy in dict.fromkeys(run["policy"] for run in runs):
        own = [run for run in runs if run["policy"] == policy]
        for name in names:
            ends = {kind: statistics.median(run[kind][name][-1] for run in own) for kind in KINDS}
            rows.append({"policy": policy, "target": name, "seeds": len(own), "median_regret": ends})
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV, also gzipped")
    parser.add_argument("--accuracy", required=True, help="column in %%")
    parser.add_argument("--latency", action="append", required=True, help="column in ms, one for each target")
    parser.add_argument("--quantile", type=float, default=0.2, help="share of the measured networks that fit")
    parser.add_argument("--policies", default="edge-bo,random-gate")
    parser.add_argument("--teachings", type=int, default=20, help="in all: together, or divided among searches of one target")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0, help="others are other pools")
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    if len(args.latency) < 2 or args.teachings < len(args.latency):
        parser.error(f"there must be two targets and a teaching for each; got {len(args.latency)} and {args.teachings}")
    unknown = [name for name in args.policies.split(",") if name not in {"edge-bo", "random-gate"}]
    if unknown:
        parser.error(f"policies must be edge-bo or random-gate; got '{unknown[0]}'")
    return args


if __name__ == "__main__":
    main()
