"""Quantise one ONNX graph with NNCF: a request on stdin, one JSON document on stdout, then the end."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Vendor = Any  # NNCF's and ONNX's objects

# NNCF's own default: subset_size of nncf.quantize.
SAMPLES_MOST = 300


def main() -> int:
    """Answer the request that waits on stdin."""
    answers = os.dup(1)
    os.dup2(2, 1)  # NNCF draws progress bars on stdout
    # NNCF imports torch wherever it is installed; ONNX graphs need none: 1.0 s instead of 2.3 s, equal bytes.
    sys.modules["torch"] = None  # type: ignore[assignment]  # this is how Python spells "not to be imported"
    answer = quantize(json.load(sys.stdin))
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return 0


def quantize(request: Request) -> dict[str, int]:
    """Quantise the ONNX file ``graph`` and write ``out``, in one step or not at all; count the nodes by operation."""
    import nncf
    import numpy as np
    import onnx

    model = onnx.load(request["graph"])
    samples = np.load(request["samples"], mmap_mode="r")[:SAMPLES_MOST]
    name, shape = _input(model)
    if samples.dtype != np.float32 or samples.shape[1:] != shape or not len(samples):
        raise ValueError(f"calibration samples must be float32 (n, {', '.join(map(str, shape))}); got {samples.dtype} {samples.shape}")
    vendor: Vendor = nncf
    quantized = vendor.quantize(
        model,
        vendor.Dataset(samples, lambda sample: {name: sample[None]}),
        # Symmetric: the plugin's fastest kernels. Activations behind a ReLU are unsigned all the same.
        preset=vendor.QuantizationPreset.PERFORMANCE,
        target_device=vendor.TargetDevice.CPU,
        subset_size=len(samples),
        fast_bias_correction=True,
        advanced_parameters=vendor.AdvancedQuantizationParameters(overflow_fix=_overflow_fix(vendor, request)),
    )
    part = Path(request["out"] + ".part")
    try:
        part.write_bytes(quantized.SerializeToString(deterministic=True))
        part.replace(request["out"])
    finally:
        part.unlink(missing_ok=True)
    return dict(Counter(node.op_type for node in quantized.graph.node))


def _overflow_fix(vendor: Vendor, request: Request) -> Vendor:
    """Where pairs of products are summed in int16, weights take 7 bits so that no sum saturates."""
    return vendor.OverflowFix.ENABLE if request["int8_saturates"] else vendor.OverflowFix.DISABLE


def _input(model: Vendor) -> tuple[str, tuple[int, ...]]:
    """Return the name of the graph's input and the shape of one sample."""
    graph_input = model.graph.input[0]
    return graph_input.name, tuple(dim.dim_value for dim in graph_input.type.tensor_type.shape.dim)[1:]


if __name__ == "__main__":
    sys.exit(main())
