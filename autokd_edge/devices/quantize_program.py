"""Quantise one ONNX graph: a request on stdin, one JSON document on stdout, then the end.

``python -P quantize_program.py DRIVER``; DRIVER is the file of one quantiser's part, which gives
``quantized(model, input name, samples, request)``.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections import Counter
from pathlib import Path
from typing import Any

Request = dict[str, Any]

# NNCF's own default (subset_size of nncf.quantize), and enough for ONNX Runtime's ranges too.
SAMPLES_MOST = 300


def main() -> int:
    """Answer the request that waits on stdin."""
    answers = os.dup(1)
    os.dup2(2, 1)  # quantisers draw progress bars on stdout
    answer = quantize(sys.argv[1], json.load(sys.stdin))
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return 0


def quantize(driver: str, request: Request) -> dict[str, int]:
    """Quantise the ONNX file ``graph`` and write ``out``, in one step or not at all; count the nodes by operation."""
    quantized = runpy.run_path(driver)["quantized"]
    import numpy as np
    import onnx

    model = onnx.load(request["graph"])
    samples = np.load(request["samples"], mmap_mode="r")[:SAMPLES_MOST]
    image = model.graph.input[0]
    shape = tuple(dim.dim_value for dim in image.type.tensor_type.shape.dim)[1:]
    if samples.dtype != np.float32 or samples.shape[1:] != shape or not len(samples):
        raise ValueError(f"calibration samples must be float32 (n, {', '.join(map(str, shape))}); got {samples.dtype} {samples.shape}")
    made = quantized(model, image.name, samples, request)
    part = Path(request["out"] + ".part")
    try:
        part.write_bytes(made.SerializeToString(deterministic=True))
        part.replace(request["out"])
    finally:
        part.unlink(missing_ok=True)
    return dict(Counter(node.op_type for node in made.graph.node))


if __name__ == "__main__":
    sys.exit(main())
