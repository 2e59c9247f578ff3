"""What a link over SSH adds to a reading: the same engine, here and over a device's link, in turn.

    python tools/bench/ssh_overhead.py --device ssh://user@localhost [--rounds 10] [--json FILE]

The device must be this machine behind its own sshd, so that the readings themselves take equally long. The
first round, which moves the files, is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from bench_facts import facts

from autokd_edge import wiring
from autokd_edge.core.codec import Json
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_protocol, load_target
from autokd_edge.devices.fingerprint import target_here
from autokd_edge.devices.reference import write_sentinel

MOST_S = 0.5  # the law: what SSH adds to a reading, beyond the transfer


def main() -> None:
    """Measure in turn and print both medians and what SSH added."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = {**facts(), **overhead(given.device, given.rounds)}
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def overhead(address: str, rounds: int) -> dict[str, Json]:
    """Measure in turn, print both medians and what SSH added, and return them."""
    protocol, _ = load_protocol("screen")
    variant = Variant(backend="openvino", precision="fp32")
    seconds: dict[str, list[float]] = {"here": [], "over ssh": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_sentinel(folder / "graph.onnx")
        boards = {}
        for name, where in (("here", None), ("over ssh", address)):
            device = wiring.device_of(where)
            target = target_here(load_target("host")[0], device.fingerprint())
            backend = wiring.backends_of(target, folder / name, device)["openvino"]
            backend.builder.build(folder / "graph.onnx", variant=variant, target=target, out=folder / f"{name}.engine")
            boards[name] = (backend.board, target)
        for _ in range(1 + rounds):
            for name, (board, target) in boards.items():
                began = time.monotonic()
                board.measure(folder / f"{name}.engine", variant=variant, target=target, protocol=protocol)
                seconds[name].append(time.monotonic() - began)
    medians = {name: statistics.median(taken[1:]) for name, taken in seconds.items()}
    added = medians["over ssh"] - medians["here"]
    print(f"here {medians['here']:.3f} s, over ssh {medians['over ssh']:.3f} s: {added:+.3f} s (law: {MOST_S} s)")
    return {"rounds": rounds, "seconds": seconds, "median_s": medians, "added_s": added, "law_s": MOST_S}


if __name__ == "__main__":
    main()
