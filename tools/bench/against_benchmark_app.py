"""Time one student by our final protocol and by OpenVINO's own benchmark_app, interleaved, and compare the medians.

    python tools/bench/against_benchmark_app.py --precision fp32 --rounds 3 --json OUT

Same graph, precision, number of threads and streams; the law is a ratio of medians within 10 %.
benchmark_app's JSON report rounds to 0.01 ms, so its median is read from what it prints. It times
inside the runtime, we time around the Python call: some 4 us of a small student are that difference.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from autokd_edge.backends.openvino.board import OpenVINOBoard
from autokd_edge.backends.openvino.builder import OpenVINOBuilder, precision_hint
from autokd_edge.backends.openvino.quantize import NNCFQuantizer
from autokd_edge.core.codec import encode
from autokd_edge.core.measure import Measurement, Protocol
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.devices.lease import Lease, default_lease_path
from autokd_edge.devices.link import LocalLink
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_onnx import onnx_from_spec

IMAGE = (1, 28, 28)
WIDTHS = (16, 32, 64)
BLOCKS = 3  # 22 convolutions in all
LAW = 0.10
_MEDIAN = re.compile(r"Median:\s+([0-9.]+) (us|ms)")
_NS = {"us": 1e3, "ms": 1e6}


def main() -> int:
    """Compare, print, write JSON; the exit status is 1 where the law is broken."""
    options = _options()
    variant = Variant(backend="openvino", precision=options.precision)
    host, _ = load_target("host")
    target = target_here(host, read_fingerprint())
    protocol, _ = load_protocol(options.protocol)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = _write_graph(folder, variant, target)
        engine = folder / "engine.blob"
        OpenVINOBuilder(LocalLink()).build(graph, variant=variant, target=target, out=engine)
        board = OpenVINOBoard(LocalLink(), Lease(default_lease_path()), folder / "references")
        ours_ns, theirs_ns, flags = [], [], []
        for index in range(options.rounds):
            ours = board.measure(engine, variant=variant, target=target, protocol=protocol)
            ours_ns.append(ours.median_ns)
            theirs_ns.append(benchmark_app_ns(graph, variant, target, protocol))
            flags += [flag for flag in ours.flags if flag not in flags]
            print(f"round {index + 1}: ours {ours_ns[-1] / 1e3:.1f} us, benchmark_app {theirs_ns[-1] / 1e3:.1f} us")
    ratio = statistics.median(ours_ns) / statistics.median(theirs_ns)
    held = abs(ratio - 1) <= LAW
    print(f"ratio of medians {ratio:.3f}: {'within' if held else 'outside of'} {LAW:.0%}")
    if options.json:
        report = {**_circumstances(variant, ours), "flags": flags, "ratio": ratio, "ours_ns": ours_ns, "benchmark_app_ns": theirs_ns}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if held else 1


def _write_graph(folder: Path, variant: Variant, target: Target) -> Path:
    """Write the student with random weights: they do not change its speed."""
    graph = folder / "student.onnx"
    onnx.save(onnx_from_spec(resnet_spec(IMAGE, 10, WIDTHS, BLOCKS, stem=16, seed=0)), graph)
    if variant.precision != "int8":
        return graph
    np.save(folder / "samples.npy", np.random.default_rng(0).standard_normal((32, *IMAGE), dtype=np.float32))
    NNCFQuantizer(LocalLink()).quantize(graph, folder / "samples.npy", variant=variant, target=target, out=folder / "int8.onnx")
    return folder / "int8.onnx"


def benchmark_app_ns(graph: Path, variant: Variant, target: Target, protocol: Protocol) -> float:
    """Return the median latency that benchmark_app prints, in ns."""
    argv = [str(Path(sys.executable).with_name("benchmark_app")), "-m", str(graph), "-d", "CPU"]
    argv += ["-hint", "none", "-nthreads", str(target.threads), "-nstreams", "1", "-infer_precision", precision_hint(variant)]
    argv += ["-api", "sync", "-nireq", "1", "-inference_only", "-t", str(max(1, round(protocol.blocks * protocol.block_s)))]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300).stdout
    found = _MEDIAN.search(said)
    if found is None:
        raise RuntimeError(f"benchmark_app must print its median; its last line: {said.strip().splitlines()[-1]}")
    return float(found[1]) * _NS[found[2]]


def _circumstances(variant: Variant, reading: Measurement) -> dict[str, object]:
    return {
        "what": "median latency by our final protocol over that of OpenVINO's benchmark_app, same graph and settings",
        "command": " ".join(["python", *sys.argv]),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": encode(reading.fingerprint),
        "load_average": os.getloadavg(),
        "toolchain": reading.toolchain,
        "student": f"residual, image {IMAGE}, widths {WIDTHS}, {BLOCKS} blocks each",
        "variant": str(variant),
        "threads": reading.threads,
        "protocol": reading.protocol,
        "law": f"ratio within {LAW:.0%}",
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["fp32", "int8"], default="fp32")
    parser.add_argument("--protocol", default="final", help="name of a measuring protocol, or a path to one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
