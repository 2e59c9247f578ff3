"""Quantisation for NVIDIA's compilers: symmetric quantise-dequantise pairs, biases in float, by ONNX Runtime's quantiser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Vendor = Any  # ONNX's and ONNX Runtime's objects, and numpy's arrays

_QUANTIZED = ("Conv", "Gemm", "MatMul", "Add")


def quantized(model: Vendor, name: str, samples: Vendor, request: Request) -> Vendor:
    """Quantise a model; ``name`` is that of its input, ``samples`` are float32 (n, c, h, w).

    NVIDIA's placement: what a convolution, a product or an addition reads is quantised, so that what follows it
    can be fused into it. Seen with TensorRT-RTX 1.7.1: it rejects a dequantised INT32 bias, and the quantised
    scalar of a multiplication; onnx-tensorrt's table says "y_zero_point must be 0".
    """
    import onnx
    from onnxruntime import quantization

    vendor: Vendor = quantization
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quantized.onnx"
        vendor.quantize_static(
            model,
            out,
            _reader(vendor, name, samples),
            quant_format=vendor.QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            activation_type=vendor.QuantType.QInt8,
            weight_type=vendor.QuantType.QInt8,
            nodes_to_exclude=request["keep"],
            calibrate_method=vendor.CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(_QUANTIZED),
            },
        )
        return onnx.load(out)


def _reader(vendor: Vendor, name: str, samples: Vendor) -> Vendor:
    """Give the samples one by one, as the calibration asks for them."""
    feeds: Iterator[dict[str, Vendor]] = ({name: sample[None]} for sample in samples)

    class Reader(vendor.CalibrationDataReader):  # type: ignore[misc]  # the vendor's class has no type
        def get_next(self) -> dict[str, Vendor] | None:
            return next(feeds, None)

    return Reader()
