"""Quantise one ONNX graph: a request on stdin, one JSON document on stdout, then the end.

``python -P quantize_program.py DRIVER``; DRIVER is the file of one quantiser's part, which gives
``quantized(model, input name, samples, request)``; the layers in ``request["keep"]`` stay in float.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
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


def quantize(driver: str, request: Request) -> dict[str, Any]:
    """Quantise the ONNX file ``graph`` and write ``out``, in one step or not at all; report what it did to each layer."""
    quantized = runpy.run_path(driver)["quantized"]
    explained = runpy.run_path(str(Path(__file__).with_name("layer_noise.py")))["explained"]
    import numpy as np
    import onnx

    model = onnx.load(request["graph"])
    for node in model.graph.node:
        node.name = node.output[0]  # the name by which a layer is kept in float
    samples = np.load(request["samples"], mmap_mode="r")[:SAMPLES_MOST]
    image = model.graph.input[0]
    shape = tuple(dim.dim_value for dim in image.type.tensor_type.shape.dim)[1:]
    if samples.dtype != np.float32 or samples.shape[1:] != shape or not len(samples):
        raise ValueError(f"calibration samples must be float32 (n, {', '.join(map(str, shape))}); got {samples.dtype} {samples.shape}")
    given = onnx.ModelProto()
    given.CopyFrom(model)
    made, report = explained(model, quantized(given, image.name, samples, request), samples)
    part = Path(request["out"] + ".part")
    try:
        part.write_bytes(made.SerializeToString(deterministic=True))
        part.replace(request["out"])
    finally:
        part.unlink(missing_ok=True)
    return report  # type: ignore[no-any-return]  # of a program that was loaded by its path


if __name__ == "__main__":
    sys.exit(main())
