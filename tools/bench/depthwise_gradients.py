"""Compare a teaching step of students with depthwise convolutions with the same step by torch's own gradients, interleaved.

    python tools/bench/depthwise_gradients.py --steps 8 --json tools/bench/results/depthwise_gradients.json

The step is a lesson's: a batch of 128 in channels-last, in bfloat16 where the processor has it, forward, backward, clipped
and taken; by labels alone, so that nothing else is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported

import torch
from bench_facts import facts
from engines import networks
from torch import nn

from autokd_edge.core.space import Point
from autokd_edge.core.student import StudentSpec
from autokd_edge.students.depthwise import DepthwiseConv2d
from autokd_edge.teaching.batches import BATCH, Batch
from autokd_edge.teaching.lesson import Lesson
from autokd_edge.teaching.losses import CrossEntropy, Lessons, Outputs

WARM = 2


def main() -> int:
    """Time both for each student that has such convolutions, and print and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = {}
    for label, spec in networks().items():
        if (row := _row(spec, options.steps)) is not None:
            rows[label] = row
            print(label, row, flush=True)
    ratios = [row["ratio"] for row in rows.values()]
    document = {
        "what": "a teaching step by torch's own gradients of depthwise convolutions over one by ours; medians of steps in turn",
        **facts(),
        "threads": torch.get_num_threads(),
        "ratio_geometric_mean": round(statistics.geometric_mean(ratios), 3),
        "students": rows,
    }
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _row(spec: StudentSpec, steps: int) -> dict[str, float] | None:
    unknown = Lessons(student_channels=(), teacher_channels=(), labels=torch.empty(0), seed=0)
    with tempfile.TemporaryDirectory() as name:
        ours, own = (
            Lesson(spec, steps + WARM, 0, Path(name) / which, CrossEntropy(Point(values=()), unknown)) for which in ("ours", "own")
        )
        if not _put_back_torch_s_own(own):
            return None
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(0, spec.classes, (BATCH,), generator=generator)
        batch = Batch(variant=0, index=torch.arange(BATCH), images=torch.randn(BATCH, *spec.input, generator=generator), labels=labels)
        times: dict[str, list[float]] = {"ours": [], "own": []}
        for step in range(steps + WARM):
            for which, lesson in (("ours", ours), ("own", own)):
                began = time.perf_counter()
                lesson.take_step(batch, Outputs(logits=torch.empty(0)))
                if step >= WARM:
                    times[which].append(1000 * (time.perf_counter() - began))
    medians = {which: statistics.median(values) for which, values in times.items()}
    return {"ours_ms": round(medians["ours"], 1), "own_ms": round(medians["own"], 1), "ratio": round(medians["own"] / medians["ours"], 3)}


def _put_back_torch_s_own(lesson: Lesson) -> int:
    """Give the depthwise convolutions of a lesson's network torch's own forward; return how many there are."""
    found = [module for module in lesson.network.modules() if isinstance(module, DepthwiseConv2d)]
    for module in found:
        module.__class__ = nn.Conv2d  # type: ignore[assignment]  # it has the same state
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
