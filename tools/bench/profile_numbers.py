"""How far our readings can be trusted: against benchmark_app, against a plain ONNX Runtime loop, repeated, disturbed, over SSH.

    python tools/bench/profile_numbers.py [--rounds 3] [--json FILE]

Prints ratios, each taken in one run, in turn; the machine must be quiet for the laws to be judged, and its load average
is printed. About six minutes.

========  ==================================================================================================
ratios    p50 of ours over that of OpenVINO's benchmark_app (-inference_only, one request) and over that of a plain
          loop of ONNX Runtime with IO binding: within 3 % on three networks from 0.1 to 10 ms
repeats   five profiles of one network: coefficient of variation of the p50 at most 3 %
busy      a busy process on every core: the reading must carry the flag `noisy`
ssh       a measurement over a loopback sshd takes at most 0.5 s more
========  ==================================================================================================
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from against_benchmark_app import benchmark_app_ns
from bench_facts import facts
from ssh_overhead import MOST_S, overhead

from autokd_edge import wiring
from autokd_edge.core.codec import Json
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.ports import Backend
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_onnx import onnx_from_spec

RATIO, VARIATION = 0.03, 0.03
REPEATS = 5
SSH_ROUNDS = 5
# Name -> image, widths and blocks of a residual network: 0.1, 1 and 3.5 ms on one core of a server, twice that on a slow one.
NETWORKS = {
    "small": ((1, 28, 28), (24, 48), 2),
    "medium": ((3, 64, 64), (32, 64, 128), 2),
    "large": ((3, 96, 96), (40, 80, 160), 2),
}
TESTS = Path(__file__).parents[2] / "tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every part works with."""

    folder: Path
    target: Target
    protocol: Protocol
    backends: dict[str, Backend]

    def engine(self, name: str, backend: str) -> Path:
        """Build a network once."""
        graph, engine = self.graph(name), self.folder / f"{name}-{backend}.engine"
        if not engine.exists():
            self.backends[backend].builder.build(graph, variant=_fp32(backend), target=self.target, out=engine)
        return engine

    def graph(self, name: str) -> Path:
        """Write a network with random weights once: they do not change its speed."""
        graph = self.folder / f"{name}.onnx"
        if not graph.exists():
            image, widths, blocks = NETWORKS[name]
            onnx.save(onnx_from_spec(resnet_spec(image, 10, widths, blocks, stem=widths[0], seed=0)), graph)
        return graph

    def reading(self, name: str, backend: str) -> Measurement:
        """Measure a network by the shortened protocol."""
        board = self.backends[backend].board
        return board.measure(self.engine(name, backend), variant=_fp32(backend), target=self.target, protocol=self.protocol)


def main() -> int:
    """Run the four parts, print, write JSON; the exit status is 1 where a law is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result: dict[str, Json] = {"what": "how far readings can be trusted", **facts()}
    with tempfile.TemporaryDirectory() as scratch:
        bench = _bench(Path(scratch))
        result["ratios"] = [_ratio(bench, name, *against, given.rounds) for name in NETWORKS for against in _AGAINST]
        result["repeats"] = _repeats(bench)
        result["busy"] = _busy(bench)
        with _loopback(Path(scratch) / "sshd") as device:
            result["ssh"] = overhead(device, SSH_ROUNDS)
    result["load_average_after"] = round(os.getloadavg()[0], 2)
    held = {
        f"p50 within {RATIO:.0%}": all(abs(one["ratio"] - 1) <= RATIO for one in result["ratios"]),
        f"five repeats within {VARIATION:.0%}": result["repeats"]["variation"] <= VARIATION,
        "a busy machine is flagged noisy": all("noisy" in flags for flags in result["busy"].values()),
        f"ssh adds at most {MOST_S} s": result["ssh"]["added_s"] <= MOST_S,
    }
    result["held"] = held
    print(f"load average {result['load_average_1min']} before, {result['load_average_after']} after (the busy part included)")
    for law, kept in held.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {law}")
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(held.values()) else 1


def _bench(folder: Path) -> Bench:
    described = target_here(load_target("host")[0], read_fingerprint())
    target = replace(described, variants=(_fp32("openvino"), _fp32("onnxruntime")))
    protocol = replace(load_protocol("final")[0], blocks=3, block_s=0.7, cooldown_s=0.1)
    return Bench(folder=folder, target=target, protocol=protocol, backends=wiring.backends_of(target, folder / "backends"))


def _fp32(backend: str) -> Variant:
    return Variant(backend=backend, precision="fp32")


def _benchmark_app(bench: Bench, name: str) -> float:
    return benchmark_app_ns(bench.graph(name), _fp32("openvino"), bench.target, bench.protocol)


def _plain_loop(bench: Bench, name: str) -> float:
    loop = Path(__file__).with_name("onnxruntime_loop.py")
    seconds = bench.protocol.blocks * bench.protocol.block_s
    argv = [sys.executable, str(loop), str(bench.graph(name)), str(seconds), str(bench.target.threads)]
    return float(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout)


_AGAINST: tuple[tuple[str, str, Callable[[Bench, str], float]], ...] = (
    ("openvino", "benchmark_app", _benchmark_app),
    ("onnxruntime", "plain loop", _plain_loop),
)


def _ratio(bench: Bench, name: str, backend: str, other: str, theirs: Callable[[Bench, str], float], rounds: int) -> dict[str, Json]:
    """Take both readings in turn, who is first by turns, and compare by the median of the rounds' ratios."""
    ours_ns, theirs_ns, flags = [], [], set()
    for index in range(rounds):
        for mine in (True, False) if index % 2 == 0 else (False, True):
            if mine:
                reading = bench.reading(name, backend)
                ours_ns.append(reading.percentile_ns(50.0) or 0)
                flags |= set(reading.flags)
            else:
                theirs_ns.append(theirs(bench, name))
    ratio = statistics.median(one / another for one, another in zip(ours_ns, theirs_ns, strict=True))
    print(f"{name:7} {backend:12} {statistics.median(ours_ns) / 1e6:7.3f} ms, over {other}: {ratio:.3f}", flush=True)
    return {
        "network": name,
        "backend": backend,
        "against": other,
        "ratio": ratio,
        "ours_p50_ns": ours_ns,
        "theirs_p50_ns": theirs_ns,
        "flags": sorted(flags),
    }


def _repeats(bench: Bench) -> dict[str, Json]:
    """Profile one network as often as the law says, by the command that users type."""
    out = bench.folder / "profile.json"
    command = [str(Path(sys.executable).with_name("autokd-edge")), "profile", str(bench.graph("medium")), "--protocol", "final", "--json"]
    p50 = []
    for _ in range(REPEATS):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        out.write_text(done.stdout)
        p50.append(next(v["reading"]["p50_ns"] for v in json.loads(done.stdout)["variants"] if v["precision"] == "fp32"))
    variation = statistics.stdev(p50) / statistics.mean(p50)
    print(f"repeats of profile: p50 {', '.join(f'{ns / 1e6:.3f}' for ns in p50)} ms, variation {variation:.1%}", flush=True)
    return {"p50_ns": p50, "variation": variation}


def _busy(bench: Bench) -> dict[str, Json]:
    """Measure every network beside a busy process on every core, and tell the flags."""
    for name in NETWORKS:
        bench.engine(name, "openvino")
    cores = sorted(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"]) for core in cores]
    try:
        found = {name: list(bench.reading(name, "openvino").flags) for name in NETWORKS}
    finally:
        for process in busy:
            process.kill()
            process.wait()
    for name, flags in found.items():
        print(f"busy machine, {name}: {', '.join(flags) or 'no flag'}", flush=True)
    return found


@contextmanager
def _loopback(folder: Path) -> Iterator[str]:
    """Start the sshd of the tests, whose client is found on the PATH meanwhile."""
    sys.path.insert(0, str(TESTS))
    from fakes.sshd import LoopbackBoard

    before = os.environ["PATH"]
    with LoopbackBoard(folder) as board:
        board.give_runtimes()
        os.environ["PATH"] = board.path_with_client()
        try:
            yield board.device
        finally:
            os.environ["PATH"] = before


if __name__ == "__main__":
    sys.exit(main())
