"""The part of the program that quantises for our own integer kernels, with ONNX Runtime's quantiser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Vendor = Any  # ONNX's and ONNX Runtime's objects, and numpy's arrays

SIGNED_DOT = "asimddp"  # the kernel's flag of Arm's dot products


def quantized(model: Vendor, name: str, samples: Vendor, request: Request) -> Vendor:
    """Quantise a model; ``name`` is that of its input, ``samples`` are float32 (n, c, h, w).

    Per channel and symmetric for weights, which have no zero point in our kernels then. Activations take eight
    bits, signed where the processor has sdot, whose both sides are. No sum saturates, so that weights keep all their bits.
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
            per_channel=True,
            nodes_to_exclude=request["keep"],
            activation_type=vendor.QuantType.QInt8 if SIGNED_DOT in request["isa_flags"] else vendor.QuantType.QUInt8,
            weight_type=vendor.QuantType.QInt8,
            calibrate_method=vendor.CalibrationMethod.MinMax,
            # The logits stay in float.
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )
        return onnx.load(out)


def _reader(vendor: Vendor, name: str, samples: Vendor) -> Vendor:
    """Give the samples one by one, as the calibration asks for them."""
    feeds: Iterator[dict[str, Vendor]] = ({name: sample[None]} for sample in samples)

    class Reader(vendor.CalibrationDataReader):  # type: ignore[misc]  # the vendor's class has no type
        def get_next(self) -> dict[str, Vendor] | None:
            return next(feeds, None)

    return Reader()
