"""Compare the memory that a manifest states of a runtime-free engine with that of another program that infers.

    python tools/bench/engine_memory.py --json tools/bench/results/engine_memory.json

The other program is 20 lines of C around the static library of the same network; what it takes is its peak resident
memory (VmHWM, or what is resident at its end where the kernel counts less; median of seven processes) less that of
the same program without a network. The law: within 5 %, or within what Linux maps of a program at once: 64 KiB around
each page that is touched, of its code and of its constants, so that small networks depend on where the linker puts them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench_facts import facts
from engines import FP32, networks

from autokd_edge import wiring
from autokd_edge.core.codec import Json
from autokd_edge.core.measure import Protocol
from autokd_edge.core.target import Target
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.ports import Backend
from autokd_edge.students.lower_onnx import onnx_from_spec

LAW = 0.05
MAPPED_AT_ONCE_BYTES = 2 * 64 * 1024
PROCESSES = 7
PROBE = Path(__file__).with_name("memory_probe.c")


def main() -> int:
    """Build, read, compare, write JSON; status 1 where the law is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    host = replace(target_here(load_target("host")[0], read_fingerprint()), variants=(FP32,))
    protocol, _ = load_protocol("screen")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backend = wiring.backends_of(host, folder)["tvm"]
        null = _peak(_program(folder / "null"))
        rows = [_row(label, backend, host, protocol, folder / str(number)) for number, label in enumerate(networks())]
    for row in rows:
        row["over_null_program_bytes"] = row.pop("peak_bytes") - null
        row["stated_over_read"] = round(row["stated_in_manifest_bytes"] / row["over_null_program_bytes"], 4)
        row["difference_bytes"] = row["stated_in_manifest_bytes"] - row["over_null_program_bytes"]
        print(json.dumps(row), flush=True)
    beyond = [row for row in rows if abs(row["stated_over_read"] - 1) > LAW]
    broken = [row["network"] for row in beyond if abs(row["difference_bytes"]) > MAPPED_AT_ONCE_BYTES]
    document = {
        "what": "memory of the runtime-free engine, as a manifest states it, against another program that infers",
        **facts(),
        "law": f"within {LAW:.0%}, or within {MAPPED_AT_ONCE_BYTES // 1024} KiB",
        "networks_within_share": len(rows) - len(beyond),
        "law_broken_by": broken,
        "null_program_bytes": null,
    }
    if options.json:
        options.json.write_text(json.dumps({**document, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 1 if broken else 0


def _row(label: str, backend: Backend, host: Target, protocol: Protocol, folder: Path) -> dict[str, Json]:
    folder.mkdir()
    graph = folder / "graph.onnx"
    graph.write_bytes(onnx_from_spec(networks()[label]).SerializeToString(deterministic=True))
    backend.builder.build(graph, variant=FP32, target=host, out=folder / "engine")
    reading = backend.board.measure(folder / "engine", variant=FP32, target=host, protocol=protocol)
    if backend.library is None:
        raise SystemExit("the engine must have a library")
    backend.library.library(graph, variant=FP32, target=host, folder=folder)
    peak = _peak(_program(folder / "probe", folder))
    return {"network": label, "stated_in_manifest_bytes": reading.memory.engine_bytes, "peak_bytes": peak}


def _program(out: Path, library: Path | None = None) -> Path:
    """Compile the probe, around a library or around nothing."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise SystemExit("the probe needs gcc: apt-get install gcc")
    student = [] if library is None else ["-DSTUDENT", f"-I{library}", f"{library}/libautokd_student.a"]
    subprocess.run([gcc, "-O2", "-static", PROBE, *student, "-o", out], check=True)
    return out


def _peak(program: Path) -> int:
    return int(statistics.median(int(subprocess.run([program], check=True, capture_output=True).stdout) for _ in range(PROCESSES)))


if __name__ == "__main__":
    sys.exit(main())
