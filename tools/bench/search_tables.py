"""Compare search policies on a table of architectures with latencies measured on real devices.

    python tools/bench/search_tables.py --table nb201_devices.csv.gz --accuracy cifar100-test-12ep \
        --latency raspberry_pi_4_ms --quantile 0.2 --policies edge-bo,random --budget 30 --seeds 10 \
        --json tools/bench/results/search_tables.json

The table has categorical ``op_*`` columns and any number of named ones; ``--accuracy``, ``--latency``
and ``--quantile`` may be given more than once and every combination is a problem. The limit is the
quantile of the measured latencies, so the exact optimum is known; regret is its accuracy minus that
of the best taught network that keeps the limit, in points. Interrupted, the same command goes on
with the runs that the JSON file lacks.

``edge-bo`` is told the paths of a cell, ``edge-bo-one-hot`` its operations alone, as the others are.
``edge-bo-warm`` recalls the 20 teachings of an earlier ``edge-bo`` study, by ``--warm-accuracy``; ``edge-bo-misled``
the same ones with their accuracies shuffled.
``edge-bo``, ``random-gate`` and ``evolution`` ask the device first; ``random``, ``bohb-paper``, Optuna's
samplers and ``ax`` teach what they propose, and learn its latency with its accuracy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from bench_facts import facts
from table_world import NOTHING, VARIANT, Paths, Table, TableWorld, read_table, recalled_of

from autokd_edge.core.events import Confirm, GradeEngine, Probe, Stop, Teach, Wait
from autokd_edge.core.pupil import Recalled
from autokd_edge.core.study import Study
from autokd_edge.ports import Policy
from autokd_edge.search.ax_search import AxProposer
from autokd_edge.search.bohb import BOHBProposer
from autokd_edge.search.evolution import EvolutionChooser
from autokd_edge.search.optuna_search import OptunaProposer
from autokd_edge.search.plan import Plan
from autokd_edge.search.policy import PhasedPolicy
from autokd_edge.search.random_search import RandomChooser, RandomProposer
from autokd_edge.search.ungated import UngatedPolicy

RECALLED = 20  # teachings of the earlier study
EARLIER_SEED = 1000  # added to the seed: another search
RECALLING = ("edge-bo-warm", "edge-bo-misled")
GOALS = (1.0, 0.5, 0.1)  # points of regret
SHOWN = (5, 10, 15, 20, 25, 30, 50, 100, 150, 200)  # teachings


def main() -> None:
    """Run what the JSON file lacks, write it after every run, print the summary."""
    args = _arguments()
    done = json.loads(args.json.read_text())["runs"] if args.json.exists() else []
    earlier = {
        latency: read_table(args.table, args.warm_accuracy, args.warm_latency or latency) for latency in args.latency if args.warm_accuracy
    }
    tables = {names: read_table(args.table, *names) for names in itertools.product(args.accuracy, args.latency)}
    for ((accuracy, latency), table), quantile in itertools.product(tables.items(), args.quantile):
        for policy, seed in itertools.product(args.policies.split(","), range(args.first_seed, args.first_seed + args.seeds)):
            key: dict[str, Any] = {"accuracy": accuracy, "latency": latency, "quantile": quantile, "policy": policy, "seed": seed}
            key |= {"bad_readings": True} if args.bad_readings else {}
            if not any(all(run.get(k) == v for k, v in key.items()) and len(run["regrets"]) >= args.budget for run in done):
                done = [run for run in done if not all(run.get(k) == v for k, v in key.items())]
                done.append({**key, **_run(table, key, args.budget, args.probes_per_teaching, earlier.get(latency))})
                _write(args, done)
                print(json.dumps({**key, "regret": done[-1]["regrets"][-1], "seconds": done[-1]["seconds"]}), file=sys.stderr)
    _write(args, done)
    print(_text(_summary(done)))


def _run(table: Table, key: Mapping[str, Any], budget: int, probes: int, earlier: Table | None) -> dict[str, Any]:
    bound = table.bound_ns(key["quantile"])
    recalled: tuple[Recalled, ...] = ()
    if earlier is not None and key["policy"] in RECALLING:
        past = _earlier_study(earlier, key["quantile"], key["seed"] + EARLIER_SEED, probes)
        recalled = recalled_of(past, shuffled=key["policy"] == "edge-bo-misled")
    world = TableWorld(table=table, bound_ns=bound, teachings=budget, seed=key["seed"], policy=key["policy"], recalled=recalled)
    world.bad_readings = key.get("bad_readings", False)
    policy, slowest, began = POLICIES[key["policy"]](table, probes), 0.0, time.monotonic()
    while len(world.study.teachings) < budget:
        asked = time.monotonic()
        action = policy.next(world.study)
        slowest = max(slowest, time.monotonic() - asked)
        if isinstance(action, Stop | Wait | Confirm | GradeEngine) or (isinstance(action, Teach) and action.final):
            break
        world.do(action)
    return {
        "limit_ms": bound / 1e6,
        "optimum": table.optimum(bound),
        "regrets": world.regrets(),
        "probes": len(world.study.probes),
        "seconds": round(time.monotonic() - began, 1),
        "slowest_choice_s": round(slowest, 2),
    }


@cache
def _earlier_study(table: Table, quantile: float, seed: int, probes: int) -> Study:
    """Search a table with edge-bo, as somebody did before."""
    world = TableWorld(table=table, bound_ns=table.bound_ns(quantile), teachings=RECALLED, seed=seed, policy="edge-bo")
    policy = _edge_bo(table, probes)
    while len(world.study.teachings) < RECALLED and isinstance(action := policy.next(world.study), Probe | Teach):
        world.do(action)
    return world.study


def _plan(probes: int) -> Plan:
    return Plan(pool=probes, batch=probes, most_probes=10**6)


def _edge_bo(table: Table, probes: int) -> Policy:
    from autokd_edge.search.edge_bo import EdgeBO

    return PhasedPolicy(EdgeBO(table.space, NOTHING, describe=Paths(table.space)), (VARIANT,), _plan(probes))


def _edge_bo_plain(table: Table, probes: int) -> Policy:
    from autokd_edge.search.edge_bo import EdgeBO

    return PhasedPolicy(EdgeBO(table.space, NOTHING), (VARIANT,), _plan(probes))


def _random_with_gate(table: Table, probes: int) -> Policy:
    return PhasedPolicy(RandomChooser(table.space, NOTHING), (VARIANT,), _plan(probes))


def _evolution(table: Table, probes: int) -> Policy:
    return PhasedPolicy(EvolutionChooser(table.space, NOTHING), (VARIANT,), _plan(probes))


def _random(table: Table, probes: int) -> Policy:
    return UngatedPolicy(RandomProposer(table.space, NOTHING), (VARIANT,), _plan(probes))


def _bohb(table: Table, probes: int) -> Policy:
    return UngatedPolicy(BOHBProposer(table.space, NOTHING), (VARIANT,), _plan(probes))


def _optuna(sampler: Literal["tpe", "gp"], table: Table, probes: int) -> Policy:
    return UngatedPolicy(OptunaProposer(table.space, NOTHING, sampler), (VARIANT,), _plan(probes))


def _ax(table: Table, probes: int) -> Policy:
    return UngatedPolicy(AxProposer(table.space, NOTHING), (VARIANT,), _plan(probes))


POLICIES: Mapping[str, Callable[[Table, int], Policy]] = {
    "edge-bo": _edge_bo,
    "edge-bo-warm": _edge_bo,
    "edge-bo-misled": _edge_bo,
    "edge-bo-one-hot": _edge_bo_plain,
    "random-gate": _random_with_gate,
    "random": _random,
    "evolution": _evolution,
    "bohb-paper": _bohb,
    "optuna-tpe": partial(_optuna, "tpe"),
    "optuna-gp": partial(_optuna, "gp"),
    "ax": _ax,
}


def _summary(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    names = ("accuracy", "latency", "quantile", "policy")
    for key in dict.fromkeys(tuple(run[name] for name in names) for run in runs):
        curves = [run["regrets"] for run in runs if tuple(run[name] for name in names) == key]
        length = min(len(curve) for curve in curves)
        row: dict[str, Any] = {**dict(zip(names, key, strict=True)), "seeds": len(curves)}
        row["regret"] = {str(n): _quartiles([curve[n - 1] for curve in curves]) for n in SHOWN if n <= length}
        row["teachings_to"] = {str(goal): _median_teachings(curves, goal) for goal in GOALS}
        row["probes_per_teaching"] = round(statistics.mean(run["probes"] / len(run["regrets"]) for run in runs if _is(run, names, key)), 1)
        rows.append(row)
    for row in rows:
        others = [r for r in rows if all(r[n] == row[n] for n in names[:3]) and r["policy"] != row["policy"]]
        row["fewer_than"] = {r["policy"]: _ratio(r["teachings_to"], row["teachings_to"]) for r in others}
    return rows


def _is(run: Mapping[str, Any], names: Sequence[str], key: tuple[Any, ...]) -> bool:
    return tuple(run[name] for name in names) == key


def _quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return [values[0]] * 3
    return [round(q, 4) for q in statistics.quantiles(values, n=4, method="inclusive")]


def _median_teachings(curves: Sequence[Sequence[float]], goal: float) -> float | None:
    """Return the median teachings to a regret; None where half of the seeds never came to it."""
    first = sorted(next((n for n, regret in enumerate(curve, start=1) if regret <= goal), sys.maxsize) for curve in curves)
    middle = statistics.median(first)
    return None if middle >= sys.maxsize / 2 else middle


def _ratio(other: Mapping[str, float | None], own: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return how many times more teachings the other policy took; None where one of the two never came to the goal."""
    return {goal: None if (a := other[goal]) is None or (b := own[goal]) is None else round(a / b, 2) for goal in own}


def _text(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        curve = "  ".join(f"n={n} {q[1]:.2f} [{q[0]:.2f} {q[2]:.2f}]" for n, q in row["regret"].items())
        goals = ", ".join(f"<={goal}: {'never' if n is None else f'{n:g}'}" for goal, n in row["teachings_to"].items())
        lines.append(f"{row['latency']} q{row['quantile']} {row['accuracy']} {row['policy']} ({row['seeds']} seeds): {curve}\n    {goals}")
    return "\n".join(lines)


def _write(args: argparse.Namespace, runs: Sequence[Mapping[str, Any]]) -> None:
    document = {**facts(), "summary": _summary(runs), "runs": runs}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    half = args.json.with_suffix(".half")
    half.write_text(_compact(document))
    half.replace(args.json)


def _compact(document: Mapping[str, Any]) -> str:
    """Write JSON with one line for each run and each row of the summary."""
    parts = []
    for name, value in document.items():
        inner = ",\n".join(json.dumps(item) for item in value) if isinstance(value, list) else None
        parts.append(f"{json.dumps(name)}: " + (json.dumps(value) if inner is None else f"[\n{inner}\n]"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV, also gzipped")
    parser.add_argument("--accuracy", action="append", required=True, help="column in %%")
    parser.add_argument("--latency", action="append", required=True, help="column in ms; empty cells cannot be built")
    parser.add_argument("--quantile", action="append", type=float, required=True, help="share of the measured networks that fit")
    parser.add_argument("--policies", default="edge-bo,random-gate", help=f"of {', '.join(POLICIES)}")
    parser.add_argument("--budget", type=int, default=30, help="teachings")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0, help="other seeds than those that a rule was chosen on")
    parser.add_argument("--probes-per-teaching", type=int, default=32)
    parser.add_argument("--warm-accuracy", help="column that an earlier study taught by, for edge-bo-warm and edge-bo-misled")
    parser.add_argument("--warm-latency", help="column that limited the earlier study. Default: the same")
    parser.add_argument(
        "--bad-readings", action="store_true", help="one in ten three times off and noisy, one in ten fails; in a --json of its own"
    )
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    unknown = [name for name in args.policies.split(",") if name not in POLICIES]
    if unknown:
        parser.error(f"policies must be of {', '.join(POLICIES)}; got '{unknown[0]}'")
    if set(RECALLING) & set(args.policies.split(",")) and args.warm_accuracy is None:
        parser.error("edge-bo-warm and edge-bo-misled need --warm-accuracy COLUMN")
    if args.json.exists() and any(run.get("bad_readings", False) != args.bad_readings for run in json.loads(args.json.read_text())["runs"]):
        parser.error(f"'{args.json}' must hold runs of one kind; it has others than with --bad-readings {args.bad_readings}")
    return args


if __name__ == "__main__":
    main()
