"""Time the first and the second reading of a folder of 10,000 images, and read the peak memory of teaching on Fashion-MNIST.

    python tools/bench/reading.py --json tools/bench/results/reading.json

The laws: a second reading in less than 2 s; less than 4 GB of memory. Each reading and the teaching are processes
of their own; the time of importing torch is not counted, its memory is. What measures and what chooses is not run here.
"""

from __future__ import annotations

import argparse
import json
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
TEACHING = """
import resource, sys
from pathlib import Path
from autokd_edge.core.student import Task
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.inputs import PreparedImages
from autokd_edge.teaching.teachers import load_teacher
from autokd_edge.teaching.trainer import KDDistiller
source, cache = data_source("fashion-mnist"), Path(sys.argv[1])
data = source.teaching()
source.warn_of_leaks(data)
images = PreparedImages(source, data, cache)
for split in ("calibration", "validation", "test"):
    images.inputs(split)
family, task = NagoFamily(), Task(image=data.image, classes=10, channel_multiple=8)
point = {"N_t": 3, "N_m": 1, "N_b": 7, "K_b": 2, "P_b": 0.5, "width": 200_000, "op": "conv3x3"}
teaching = KDDistiller(data, load_teacher("example:fashion-mnist", data), seed=0, cache=cache)
spec = family.spec(family.space(task).point(point), task, 0)
teaching.teach(spec, teaching.space.at([0.5, 0.5]), steps=30, seed=0, out=cache / "w.safetensors")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> int:
    """Write the folder, read it twice, teach for 30 steps; status 1 where a law is broken."""
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
        peak = _teaching(folder / "teaching")
    print(f"teaching: {peak / 1e9:.2f} GB", flush=True)
    document = {
        **facts(),
        "images": f"{COUNT} PNG of {options.side}x{options.side}, colour",
        "first_reading_s": first,
        "second_reading_s": second,
        "law_second_reading_s": READ_LAW_S,
        "teaching_peak_bytes": peak,
        "law_peak_bytes": MEMORY_LAW_BYTES,
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


def _teaching(cache: Path) -> int:
    """Teach one student from the example teacher and return the most memory that the process had resident, in bytes."""
    done = subprocess.run([sys.executable, "-c", TEACHING, str(cache)], capture_output=True, text=True, check=True)
    return 1024 * int(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
