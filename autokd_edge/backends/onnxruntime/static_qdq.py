"""Run ONNX Runtime's static quantiser: for its own kernels, and for other compilers that take quantise-dequantise pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Vendor = Any  # ONNX's and ONNX Runtime's objects, and numpy's arrays


def static_qdq(model: Vendor, name: str, samples: Vendor, *, keep: Sequence[str], **settings: Vendor) -> Vendor:
    """Return the model with pairs, ranges by minimum and maximum, weights signed and by channel.

    ``name`` is that of the input, ``samples`` are float32 (n, c, h, w), the nodes in ``keep`` stay in float;
    ``settings`` are further arguments of ``quantize_static``.
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
            nodes_to_exclude=list(keep),
            weight_type=vendor.QuantType.QInt8,
            calibrate_method=vendor.CalibrationMethod.MinMax,
            **settings,
        )
        return onnx.load(out)


def _reader(vendor: Vendor, name: str, samples: Vendor) -> Vendor:
    """Give the samples one by one, as the calibration asks for them."""
    feeds: Iterator[dict[str, Vendor]] = ({name: sample[None]} for sample in samples)

    class Reader(vendor.CalibrationDataReader):  # type: ignore[misc]  # the vendor's class has no type
        def get_next(self) -> dict[str, Vendor] | None:
            return next(feeds, None)

    return Reader()
