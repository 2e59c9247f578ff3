"""Compare the tvm backend with ONNX Runtime on this machine, fp32 and int8, and count an Arm engine's instructions.

    python tools/bench/engines.py --rounds 3 --json OUT

Ten networks with random weights: members of the searched families, and the families that are one network. In
each round every engine is timed once by the screening protocol, one thread, so that a slow spell of the machine
meets them all; a ratio is of the medians of the rounds. Instructions are those of one inference on aarch64 with
the dot product, counted under emulation: they are no latency.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from bench_facts import facts

from autokd_edge import wiring
from autokd_edge.backends.tvm.builder import TVMBuilder
from autokd_edge.backends.tvm.quantize import TVMQuantizer
from autokd_edge.core.codec import Json
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Backend
from autokd_edge.students.lower_onnx import onnx_from_spec

TASK = Task(image=(3, 32, 32), classes=10, channel_multiple=8)
SEARCHED = {"nago 3x3": ("nago", {"op": "conv3x3"}), "nago separable": ("nago", {"op": "separable"}), "mbconv": ("mbconv", {})}
DESIGNED = ("resnet8", "mobilenetv2-0.5", "mobilenetv3-small-0.5", "shufflenetv2-0.5", "mcunet-like")
ORT, FP32, FP16, INT8 = (
    Variant(backend=b, precision=p) for b, p in (("onnxruntime", "fp32"), ("tvm", "fp32"), ("tvm", "fp16"), ("tvm", "int8"))
)
CALIBRATION = 16  # speed does not depend on the ranges
MEMBERS = {"nago 3x3": 2, "nago separable": 1, "mbconv": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network: its engines by variant, how long each took to build, and the medians of the rounds in ns."""

    name: str
    engines: Mapping[Variant, Path]
    build_s: Mapping[Variant, float]
    medians_ns: Mapping[Variant, list[float]] = field(default_factory=lambda: {ORT: [], FP32: [], INT8: []})

    def ratio(self, one: Variant, other: Variant) -> float:
        """Time of one variant in times of another."""
        return statistics.median(self.medians_ns[one]) / statistics.median(self.medians_ns[other])


def main() -> int:
    """Build, time in turn, count, print, write JSON."""
    options = _options()
    host = target_here(load_target("host")[0], read_fingerprint())
    protocol, _ = load_protocol("screen")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "samples.npy", np.random.default_rng(0).standard_normal((CALIBRATION, *TASK.image), dtype=np.float32))
        graphs = {name: _written(spec, folder / f"{i}.onnx") for i, (name, spec) in enumerate(networks().items())}
        backends = wiring.backends_of(_allowing(host), folder)
        backends["tvm"].builder.build(next(iter(graphs.values())), variant=FP32, target=host, out=folder / "first")  # loads TVM
        rows = [_row(name, graph, backends, host, folder) for name, graph in graphs.items()]
        for _ in range(options.rounds):
            for row in rows:
                for variant, engine in row.engines.items():
                    board = backends[variant.backend].board
                    row.medians_ns[variant].append(board.measure(engine, variant=variant, target=host, protocol=protocol).median_ns)
        counts = {row.name: _instructions(graphs[row.name], folder) for row in rows[:: options.count_every]} if options.count_every else {}
        report = _report(rows, counts)
    print(json.dumps(report["summary"], indent=2))
    if options.json:
        options.json.write_text(json.dumps({**facts(), **report}, indent=2) + "\n", encoding="utf-8")
    return 0


def networks() -> dict[str, StudentSpec]:
    """Return the networks by name; members of searched families are drawn at random."""
    found = {}
    for name, (family_name, fixed) in SEARCHED.items():
        family = wiring.family_named(family_name)
        space, rng = family.space(TASK), np.random.default_rng(3)
        for index in range(MEMBERS[name]):
            values = {**dict(space.at((rng.random(len(space)) * 0.6).tolist())), **fixed}
            found[f"{name} {index}"] = family.spec(space.point(values), TASK, index)
    for name in DESIGNED:
        family = wiring.family_named(name)
        found[name] = family.spec(family.space(TASK).at([0.5] * len(family.space(TASK))), TASK, 0)
    return found


def _written(spec: StudentSpec, path: Path) -> Path:
    path.write_bytes(onnx_from_spec(spec).SerializeToString(deterministic=True))
    return path


def _allowing(target: Target) -> Target:
    return replace(target, variants=(ORT, FP32, INT8))


def _row(name: str, graph: Path, backends: Mapping[str, Backend], host: Target, folder: Path) -> Row:
    quantized = folder / f"{graph.stem}.int8.onnx"
    backends["tvm"].quantizer.quantize(graph, folder / "samples.npy", variant=INT8, target=host, out=quantized)
    engines, build_s = {}, {}
    for variant, source in ((ORT, graph), (FP32, graph), (INT8, quantized)):
        engines[variant] = folder / f"{graph.stem}-{variant.backend}-{variant.precision}"
        build = backends[variant.backend].builder.build
        build_s[variant] = _seconds(partial(build, source, variant=variant, target=host, out=engines[variant]))
    return Row(name=name, engines=engines, build_s=build_s)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _instructions(graph: Path, folder: Path) -> dict[str, int]:
    """Count the aarch64 instructions of one inference, fp32, fp16 and int8, on a core with the dot product."""
    board, _ = load_target("raspberry-pi-5")
    quantized = folder / "arm.int8.onnx"
    TVMQuantizer(LocalLink()).quantize(graph, folder / "samples.npy", variant=INT8, target=board, out=quantized)
    found, builder = {}, TVMBuilder()
    for variant, source in ((FP32, graph), (FP16, graph), (INT8, quantized)):
        builder.build(source, variant=variant, target=board, out=folder / "arm")
        few, more = (_counted(folder, samples) for samples in (2, 6))
        found[variant.precision] = (more - few) // 4
    return found


def _counted(folder: Path, samples: int) -> int:
    """Run an engine on some samples with the plugin that counts."""
    plugin = folder / "instructions.so"
    gcc, qemu = shutil.which("gcc"), shutil.which("qemu-aarch64")
    if gcc is None or qemu is None:
        raise SystemExit("counting instructions needs gcc and qemu-aarch64: apt-get install gcc qemu-user")
    if not plugin.exists():
        source = Path(__file__).with_name("instructions.c")
        subprocess.run([gcc, "-O2", "-shared", "-fPIC", source, "-o", plugin], check=True)
    np.save(folder / "some.npy", np.load(folder / "samples.npy")[:samples])
    files = [str(folder / name) for name in ("arm", "some.npy", "out.npy")]
    argv = [qemu, "-cpu", "max", "-plugin", str(plugin), "-d", "plugin", files[0], "infer", *files[1:]]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stderr
    match = re.search(r"insns: (\d+)", said)
    if match is None:
        raise SystemExit(f"the plugin must say a number of instructions; got {said!r}")
    return int(match[1])


def _report(rows: list[Row], counts: Mapping[str, Mapping[str, int]]) -> dict[str, Json]:
    against_ort = [row.ratio(FP32, ORT) for row in rows]
    described = {row.name: _described(row.engines[FP32]) for row in rows}
    arena = {name: found["arena_bytes"] / found["live_bytes"] for name, found in described.items()}
    return {
        "summary": {
            "networks": len(rows),
            "tvm fp32 over onnxruntime fp32, geometric mean": _rounded(statistics.geometric_mean(against_ort)),
            "tvm fp32 over onnxruntime fp32, worst": _rounded(max(against_ort)),
            "tvm fp32 over tvm int8, by network": {row.name: _rounded(row.ratio(FP32, INT8)) for row in rows},
            **{
                f"aarch64 instructions, fp32 over {other}, by network": {name: _rounded(c["fp32"] / c[other]) for name, c in counts.items()}
                for other in ("fp16", "int8")
            },
            "seconds to build, fp32, worst": _rounded(max(row.build_s[FP32] for row in rows)),
            "arena over its lower bound, worst": _rounded(max(arena.values())),
            "program less weights, MB, worst": _rounded(
                max(found["program_bytes"] - found["weights_bytes"] for found in described.values()) / 1e6
            ),
        },
        "rows": [
            {
                "network": row.name,
                "median_ns": {str(variant): statistics.median(medians) for variant, medians in row.medians_ns.items()},
                "round_medians_ns": {str(variant): medians for variant, medians in row.medians_ns.items()},
                "build_s": {str(variant): _rounded(seconds) for variant, seconds in row.build_s.items()},
                "fp32_engine": described[row.name],
                "aarch64_instructions": dict(counts.get(row.name, {})),
            }
            for row in rows
        ],
    }


def _described(engine: Path) -> dict[str, int]:
    """Ask an engine of its sizes; its peak memory is of a process of its own."""
    said = [json.loads(subprocess.run([engine, verb], check=True, capture_output=True).stdout) for verb in ("describe", "memory")]
    sizes = {name: said[0][name] for name in ("weights_bytes", "arena_bytes", "live_bytes")}
    return {**sizes, "program_bytes": engine.stat().st_size, "peak_rss_bytes": said[1]["peak_rss_bytes"]}


def _rounded(number: float) -> float:
    return float(f"{number:.{max(0, 2 - math.floor(math.log10(abs(number))))}f}") if number else 0.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count-every", type=int, default=1, help="count the instructions of every n-th network; 0 counts none")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
