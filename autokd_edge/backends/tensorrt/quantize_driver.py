"""Quantisation for NVIDIA's compilers: symmetric quantise-dequantise pairs, biases in float, by ONNX Runtime's quantiser."""

from __future__ import annotations

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
    from onnxruntime.quantization.quant_utils import QuantType

    from autokd_edge.backends.onnxruntime.static_qdq import static_qdq

    return static_qdq(
        model,
        name,
        samples,
        keep=request["keep"],
        op_types_to_quantize=list(_QUANTIZED),
        activation_type=QuantType.QInt8,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": list(_QUANTIZED),
        },
    )
