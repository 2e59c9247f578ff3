"""Time the choice of the next action in large studies, and the most memory of the process that chooses.

    python tools/bench/choosing.py --json tools/bench/results/choosing.json

The space is that of `--family nago` with the parameters of `kd`, the policy the one that a search makes of them. Readings and
accuracies are made up by formulas, one candidate in twenty does not build: what is timed is the choosing. Every choice is the
first of a fresh process, imports left out, the study folded from events before. The law: on 2 cores at most 2 s with 200 taught
and 5,000 probed, 10 s with 1,000 and 20,000, and less than 2 GB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_facts import facts

from autokd_edge import wiring
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.events import Event, Opened, Probe, Probed, Referenced, StudyConfig, Taught, Teach
from autokd_edge.core.goal import Goal, Traded
from autokd_edge.core.limits import Budget, LatencyLimit, Limits
from autokd_edge.core.measure import Fingerprint, Measurement, Memory, Sentinel
from autokd_edge.core.pupil import Cost, Failed, Lesson, Member, Pupil, Screened
from autokd_edge.core.space import Point, SearchSpace
from autokd_edge.core.student import Task
from autokd_edge.core.study import Study, fold
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.search.goals import TakesTurns
from autokd_edge.search.plan import Plan
from autokd_edge.teaching.trainer import loss_space

RUNS = 3
LAW_BYTES = 2_000_000_000
NONE = Digest("0" * 64)
VARIANT = Variant(backend="made-up", precision="fp32")
FAILING = 0.05
BOUND_NS = 3_000_000  # about four in ten of the made-up networks keep it
MEDIAN, STEPS = 50.0, 100
PROTOCOL = load_protocol("screen")[0]
MACHINE = Fingerprint(
    machine="none", processor="none", isa_flags=(), cores=1, memory_bytes=1, system="none", governor="unknown", virtual=False
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A study's size, what accuracy is traded for in it, and the most seconds that a choice may take."""

    taught: int
    probed: int
    pareto: tuple[Traded, ...]
    law_s: float


CASES: Mapping[str, Case] = {
    "best-200": Case(taught=200, probed=5_000, pareto=(), law_s=2.0),
    "best-1000": Case(taught=1_000, probed=20_000, pareto=(), law_s=10.0),
    "front-200": Case(taught=200, probed=5_000, pareto=("latency",), law_s=2.0),
    "front-of-three-200": Case(taught=200, probed=5_000, pareto=("latency", "memory"), law_s=2.0),
    "small": Case(taught=30, probed=280, pareto=(), law_s=2.0),
}
DECISIONS = ("teach", "probe")


def main() -> int:
    """Time every case; status 1 where one is over its law."""
    args = _arguments()
    if args.once is not None:
        print(json.dumps(_once(*args.once)))
        return 0
    begun, rows = facts(), []
    for name in args.cases.split(","):
        for decision in DECISIONS:
            runs = [_in_a_process(name, decision) for _ in range(args.runs)]
            rows.append(_row(name, decision, runs))
            print(json.dumps(rows[-1]), flush=True)
    document = {**begun, "note": "made-up readings and accuracies: what is timed is the choosing", "law_bytes": LAW_BYTES, "choices": rows}
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(not all(row["kept"] for row in rows))


def _row(name: str, decision: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    case, walls = CASES[name], [run["wall_s"] for run in runs]
    peak = max(run["peak_bytes"] for run in runs)
    return {
        "case": name,
        "decision": decision,
        "taught": case.taught,
        "probed": case.probed,
        "pareto": list(case.pareto),
        "law_s": case.law_s,
        "best_s": min(walls),
        "median_s": round(statistics.median(walls), 3),
        "cpu_s": round(statistics.median(run["cpu_s"] for run in runs), 3),  # of all threads, the system's share included
        "peak_bytes": peak,
        "kept": statistics.median(walls) <= case.law_s and peak < LAW_BYTES,
        "choice": runs[0]["choice"],
        "same_choice": len({run["choice"] for run in runs}) == 1,
    }


def _in_a_process(name: str, decision: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--once", name, decision], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _once(name: str, decision: str) -> dict[str, Any]:
    """Make one choice and say what it took; ``choice`` tells equal choices from others."""
    study, policy = study_of(CASES[name], decision), _policy(CASES[name])
    wall, cpu = time.monotonic(), time.process_time()
    action = policy.next(study)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    if not isinstance(action, Teach if decision == "teach" else Probe):
        raise SystemExit(f"the study of '{name}' must end where the policy chooses to {decision}; got {type(action).__name__}")
    return {
        "wall_s": round(wall, 3),
        "cpu_s": round(cpu, 3),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "choice": digest_of_json([repr(action)])[:12],
    }


def _spaces() -> tuple[SearchSpace, SearchSpace]:
    task = Task(image=(1, 28, 28), classes=10, channel_multiple=8)
    return wiring.family_named("nago").space(task), loss_space("kd")


def _policy(case: Case) -> TakesTurns:
    target, _ = load_target("jetson-nano")
    return wiring.policy_named("edge-bo", front=bool(case.pareto))(*_spaces(), target, wiring.family_named("nago").members)


def study_of(case: Case, decision: str) -> Study:
    """Make a study of so many events that ends where the next decision is due."""
    return fold(_events(case, decision))


def _events(case: Case, decision: str) -> Iterator[Event]:
    """Yield a pool of probes, then teachings between the others; the last is a probe where a teaching is due next, and the other way."""
    rng, (architectures, distillations) = np.random.default_rng(0), _spaces()
    clock, plan = itertools.count(1.0), Plan()
    last = case.probed - plan.batch * (decision == "teach")  # probes before the last teaching
    yield Opened(config=_config(case), at_s=0.0)
    teacher = _reading(4 * BOUND_NS, 16_000_000, rng)
    yield Referenced(accuracy=94.0, cost=Cost(parameters=1, macs=1, activation_bytes=1), measurements=(teacher,), at_s=next(clock))
    untaught, taught = list[Member](), 0
    for probed, point in enumerate(_different(architectures, case.probed, rng), start=1):
        member, outcome = Member(architecture=point, index=0), _screened(point, rng)
        yield Probed(member=member, outcome=outcome, at_s=next(clock))
        if isinstance(outcome, Screened) and _fits(outcome):
            untaught.append(member)
        due = case.taught * (probed - plan.pool) // (last - plan.pool) if probed % plan.batch == 0 else 0
        for _ in range(taught, min(due, case.taught)):
            taught += 1
            distillation = distillations.at(rng.random(len(distillations)).tolist())
            pupil = Pupil(member=untaught.pop(int(rng.integers(len(untaught)))), distillation=distillation)
            lesson = Lesson(accuracy=_accuracy(pupil, rng), loss=1.0, checkpoint=NONE, seconds=1.0)
            yield Taught(pupil=pupil, steps=STEPS, final=False, outcome=lesson, at_s=next(clock))


def _different(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Point]:
    found = dict[Point, None]()
    while len(found) < count:
        found[space.at(rng.random(len(space)).tolist())] = None
    return list(found)


def _nodes(point: Point) -> int:
    return math.prod(point.integer(name) for name in ("N_t", "N_m", "N_b"))


def _screened(point: Point, rng: np.random.Generator) -> Screened | Failed:
    """Make up what a device says: time grows with the number of operations, and a little with parameters."""
    if rng.random() < FAILING:
        return Failed(stage="build", error="BuildError", message="made up", retryable=False)
    nodes, width, separable = _nodes(point), point.integer("width"), point["op"] == "separable"
    latency_ns = 60_000 * nodes**0.8 * (width / 1e5) ** 0.3 * (1.3 if separable else 1.0) * math.exp(rng.normal(0.0, 0.05))
    cost = Cost(parameters=width, macs=width * nodes, activation_bytes=width)
    return Screened(cost=cost, measurements=(_reading(latency_ns, 4 * width + 50_000 * nodes, rng),))


def _fits(screened: Screened) -> bool:
    upper_ns = screened.measurements[0].upper_bound_ns(MEDIAN)
    return upper_ns is not None and upper_ns <= BOUND_NS


def _accuracy(pupil: Pupil, rng: np.random.Generator) -> float:
    """Make up an accuracy in %: larger is better, with less and less return, and a tau of 4 is best."""
    point = pupil.member.architecture
    capacity = 1.2 * math.log(point.number("width") / 1e4) + 0.8 * math.log(_nodes(point))
    return 84 + capacity - 0.8 * math.log(pupil.distillation.number("tau") / 4) ** 2 + float(rng.normal(0.0, 0.3))


def _reading(latency_ns: float, memory_bytes: int, rng: np.random.Generator) -> Measurement:
    """Make up a reading of as many samples as the protocol takes."""
    samples = np.maximum(1, latency_ns * np.exp(rng.normal(0.0, 0.01, (PROTOCOL.blocks, PROTOCOL.block_runs)))).astype(int)
    return Measurement(
        origin="replay",
        target="made-up",
        variant=VARIANT,
        engine=NONE,
        protocol=PROTOCOL.name,
        protocol_digest=NONE,
        toolchain={},
        fingerprint=MACHINE,
        clock="made-up",
        threads=1,
        blocks_ns=tuple(map(tuple, samples.tolist())),
        memory=Memory(peak_rss_bytes=10_000_000 + memory_bytes, null_rss_bytes=10_000_000),
        executed={"fp32": 1},
        sentinel=Sentinel(before_ns=1000, after_ns=1000),
        flags=(),
    )


def _config(case: Case) -> StudyConfig:
    limits = Limits(latency=LatencyLimit(percent=MEDIAN, bound_ns=BOUND_NS, times_teacher=None), memory=None, max_drop=None)
    return StudyConfig(
        goals=(Goal(target="made-up", target_digest=NONE, limits=limits, pareto=case.pareto),),
        data="made-up",
        data_digest=NONE,
        teacher="made-up",
        teacher_digest=NONE,
        family="nago",
        policy="edge-bo",
        budget=Budget(seconds=None, teachings=10**6),
        search_steps=STEPS,
        final_steps=None,
        seed=0,
        protocols={"screen": NONE, "final": NONE},
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--runs", type=int, default=RUNS, help="processes for each choice")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--once", nargs=2, metavar=("CASE", "DECISION"), help="make one choice in this process")
    args = parser.parse_args()
    named = [*args.cases.split(","), *(args.once or ())[:1]]
    unknown = [name for name in named if name not in CASES]
    if unknown:
        parser.error(f"cases must be of {', '.join(CASES)}; got '{unknown[0]}'")
    return args


if __name__ == "__main__":
    sys.exit(main())
