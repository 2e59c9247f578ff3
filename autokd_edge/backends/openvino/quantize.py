"""Quantise ONNX graphs for OpenVINO's CPU plugin with NNCF, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autokd_edge.backends.openvino.builder import OPENVINO
from autokd_edge.core.quantization import QuantizeReport
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.runtime import LinkedRuntime, Runtime
from autokd_edge.ports import Link


class NNCFQuantizer:
    """Post-training quantisation to int8, quantise-dequantise pairs in the graph; ``link`` leads to this machine."""

    def __init__(self, link: Link, *, runtime: Runtime = OPENVINO, timeout_s: float = 600.0) -> None:
        self._runtime = LinkedRuntime(runtime=runtime, link=link)
        self._timeout_s = timeout_s  # 300 samples of a 60-convolution student take some 20 s

    def quantize(
        self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path, keep: Sequence[str] = ()
    ) -> QuantizeReport:
        """Calibrate with the first 300 samples at most and write the quantised graph; equal input, equal bytes.

        Raises:
            QuantizeError: the variant is not int8, the samples do not fit the graph, or NNCF failed.
        """
        return self._runtime.quantize(graph, samples, variant=variant, target=target, keep=keep, out=out, timeout_s=self._timeout_s)
