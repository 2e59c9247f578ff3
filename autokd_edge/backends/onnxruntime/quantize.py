"""Quantise ONNX graphs for ONNX Runtime's own CPU kernels, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autokd_edge.backends.onnxruntime.builder import DYNAMIC, DYNAMIC_HINT, DYNAMIC_REFUSED, ONNX_RUNTIME
from autokd_edge.core.quantization import QuantizeReport
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.runtime import LinkedRuntime
from autokd_edge.errors import QuantizeError
from autokd_edge.ports import Link


class ONNXRuntimeQuantizer:
    """Static quantisation to int8, quantise-dequantise pairs in the graph; ``link`` leads to this machine."""

    def __init__(self, link: Link, *, timeout_s: float = 600.0) -> None:
        self._runtime = LinkedRuntime(runtime=ONNX_RUNTIME, link=link)
        self._timeout_s = timeout_s  # 300 samples of a 16-convolution network take 2 s

    def quantize(
        self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path, keep: Sequence[str] = ()
    ) -> QuantizeReport:
        """Calibrate with the first 300 samples at most and write the quantised graph; equal input, equal bytes.

        Raises:
            QuantizeError: the variant is not int8, the samples do not fit the graph, or the quantiser failed.
        """
        if variant.precision == DYNAMIC:
            raise QuantizeError(DYNAMIC_REFUSED, hint=DYNAMIC_HINT)
        return self._runtime.quantize(graph, samples, variant=variant, target=target, keep=keep, out=out, timeout_s=self._timeout_s)
