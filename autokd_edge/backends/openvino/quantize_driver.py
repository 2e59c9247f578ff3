"""NNCF's part of the program that quantises, with settings for OpenVINO's CPU plugin."""

from __future__ import annotations

import sys
from typing import Any

Request = dict[str, Any]
Vendor = Any  # NNCF's and ONNX's objects

# NNCF imports torch wherever it is installed; ONNX graphs need none: 1.0 s instead of 2.3 s, equal bytes.
NOT_IMPORTED = "torch"
_DEVICES = {"openvino-gpu": "GPU", "openvino-npu": "NPU"}


def quantized(model: Vendor, name: str, samples: Vendor, request: Request) -> Vendor:
    """Quantise a model; ``name`` is that of its input, ``samples`` are float32 (n, c, h, w).

    Two of NNCF's defaults are not kept, by the error of the logits against float (3.4, 300 images). Its fast
    bias correction: a taught student of 14 convolutions has 86.7 % at 13.5 dB with it, 95.0 % as in float at
    35.9 dB without. Its ranges, means of each image's extremes: a residual network has 28.4 dB with them, 35.4 dB
    with the extremes of all images.
    """
    sys.modules[NOT_IMPORTED] = None  # type: ignore[assignment]  # this is how Python spells "not to be imported"
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    vendor: Vendor = nncf
    return vendor.quantize(
        model,
        vendor.Dataset(samples, lambda sample: {name: sample[None]}),
        # Symmetric: the plugin's fastest kernels. Activations behind a ReLU are unsigned all the same.
        preset=vendor.QuantizationPreset.PERFORMANCE,
        target_device=vendor.TargetDevice[_DEVICES.get(request["backend"], "CPU")],
        subset_size=len(samples),
        ignored_scope=vendor.IgnoredScope(names=request["keep"]),
        advanced_parameters=vendor.AdvancedQuantizationParameters(
            overflow_fix=_overflow_fix(vendor, request),
            disable_bias_correction=True,
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        ),
    )


def _overflow_fix(vendor: Vendor, request: Request) -> Vendor:
    """Where pairs of products are summed in int16, weights take 7 bits so that no sum saturates."""
    on_cpu = request["backend"] not in _DEVICES  # a GPU and an NPU sum in int32
    return vendor.OverflowFix.ENABLE if on_cpu and request["int8_saturates"] else vendor.OverflowFix.DISABLE
