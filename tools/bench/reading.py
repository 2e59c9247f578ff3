"""Time the first and the second reading of a folder of 10,000 images, and read the peak memory of a search.

    python tools/bench/reading.py --json tools/bench/results/reading.json

The laws: a second reading in less than 2 s; less than 4 GB of memory for a search on Fashion-MNIST. Each
reading and the search are processes of their own, the time of importing torch is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_facts import facts
from PIL import Image

COUNT, CLASSES = 10_000, 10
READ_LAW_S, MEMORY_LAW_BYTES = 2.0, 4_000_000_000
READING = """
import sys, time
from pathlib import Path
from autokd_edge.teaching.readers.folder import image_folder
began = time.perf_counter()
data = image_folder(Path(sys.argv[1]), None, cache=Path(sys.argv[2])).teaching()
print(time.perf_counter() - began)
"""


def main() -> int:
    """Write the folder, read it twice, run a short search; status 1 where a law is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "images", options.side)
        command = [sys.executable, "-c", READING, str(folder / "images"), str(folder / "cache")]
        first, second = (float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(2))
        print(f"first {first:.2f} s, second {second:.2f} s", flush=True)
        peak = _search(folder / "run")
    print(f"search: {peak / 1e9:.2f} GB", flush=True)
    document = {
        **facts(),
        "images": f"{COUNT} PNG of {options.side}x{options.side}, colour",
        "first_reading_s": first,
        "second_reading_s": second,
        "law_second_reading_s": READ_LAW_S,
        "search_peak_bytes": peak,
        "law_search_peak_bytes": MEMORY_LAW_BYTES,
    }
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if second < READ_LAW_S and peak < MEMORY_LAW_BYTES else 1


def _write(folder: Path, side: int) -> None:
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    for number in range(COUNT):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side, side)).save(folder / f"class{number % CLASSES}" / f"{number}.png", compress_level=1)


def _search(out: Path) -> int:
    """Run a search of one teaching and return the most memory that one of its processes had resident, in bytes."""
    script = Path(sys.executable).with_name("autokd-edge")
    wanted = ["--data", "fashion-mnist", "--teacher", "example:fashion-mnist", "--max-latency", "0.5x", "--budget", "1"]
    steps = ["--search-steps", "20", "--final-steps", "40", "--out", str(out)]
    subprocess.run([str(script), "search", *wanted, *steps], capture_output=True, check=True)
    return 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
