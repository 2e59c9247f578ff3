"""The part of the program that quantises for our own integer kernels, with ONNX Runtime's quantiser."""

from __future__ import annotations

from typing import Any

Request = dict[str, Any]
Vendor = Any  # ONNX's and ONNX Runtime's objects, and numpy's arrays

SIGNED_DOT = "asimddp"  # the kernel's flag of Arm's dot products


def quantized(model: Vendor, name: str, samples: Vendor, request: Request) -> Vendor:
    """Quantise a model; ``name`` is that of its input, ``samples`` are float32 (n, c, h, w).

    Per channel and symmetric for weights, which have no zero point in our kernels then. Activations take eight
    bits, signed where the processor has sdot, whose both sides are. No sum saturates, so that weights keep all their bits.
    """
    from onnxruntime.quantization.quant_utils import QuantType

    from autokd_edge.backends.onnxruntime.static_qdq import static_qdq

    return static_qdq(
        model,
        name,
        samples,
        keep=request["keep"],
        activation_type=QuantType.QInt8 if SIGNED_DOT in request["isa_flags"] else QuantType.QUInt8,
        # The logits stay in float.
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
    )
