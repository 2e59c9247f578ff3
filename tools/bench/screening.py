"""Time the screening of random candidates: spec, ONNX, build and screen reading, all processes included.

    python tools/bench/screening.py --candidates 20 --json tools/bench/results/screening.json

The law: at most 2.5 s a candidate on 2 cores, and no torch on the way.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_facts import facts

from autokd_edge import wiring
from autokd_edge.core.space import Point
from autokd_edge.core.student import Task
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.pipeline.evaluate import MOST_LAYERS
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.lower_onnx import onnx_from_spec

TASK = Task(image=(1, 28, 28), classes=10, channel_multiple=8)
VARIANT = Variant(backend="openvino", precision="fp32")
LAW_S = 2.5


def main() -> int:
    """Screen random candidates, print and write how long each took; status 1 where one breaks the law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    target = target_here(load_target("host")[0], read_fingerprint())
    protocol, _ = load_protocol("screen")
    family, rng = NagoFamily(), np.random.default_rng(options.seed)
    space = family.space(TASK)
    rows, refused = list[dict[str, float | int]](), 0
    with tempfile.TemporaryDirectory() as name:
        backend = wiring.backends_of(target, Path(name))["openvino"]

        def screen(point: Point) -> dict[str, float | int]:
            began = time.monotonic()
            spec = family.spec(point, TASK, 0)
            graph, engine = Path(name) / "graph.onnx", Path(name) / "engine.blob"
            graph.write_bytes(onnx_from_spec(spec).SerializeToString())
            lowered = time.monotonic()
            backend.builder.build(graph, variant=VARIANT, target=target, out=engine)
            built = time.monotonic()
            reading = backend.board.measure(engine, variant=VARIANT, target=target, protocol=protocol)
            ended = time.monotonic()
            return {
                "layers": len(spec.layers),
                "latency_ms": reading.median_ns / 1e6,
                "lower_s": lowered - began,
                "build_s": built - lowered,
                "read_s": ended - built,
                "total_s": ended - began,
            }

        screen(space.at([0.0] * len(space)))  # builds the reference engines, once for a folder
        while len(rows) < options.candidates:
            point = space.at(rng.random(len(space)).tolist())
            if len(family.spec(point, TASK, 0).layers) > MOST_LAYERS:
                refused += 1  # as the search does: a failed candidate, and nothing is built
                continue
            rows.append(screen(point))
            print(" ".join(f"{key}={value:.3g}" for key, value in rows[-1].items()), flush=True)
    totals = sorted(row["total_s"] for row in rows)
    result = {
        **facts(),
        "law_s": LAW_S,
        "median_s": statistics.median(totals),
        "p90_s": totals[int(0.9 * (len(totals) - 1))],
        "max_s": totals[-1],
        "most_layers": MOST_LAYERS,
        "refused": refused,
        "share_within_law": sum(t <= LAW_S for t in totals) / len(totals),
        "torch_imported": "torch" in sys.modules,
        "candidates": rows,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "candidates"}, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["max_s"] <= LAW_S and not result["torch_imported"] else 1


if __name__ == "__main__":
    sys.exit(main())
