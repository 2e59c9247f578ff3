"""Quantise ONNX graphs for our own integer kernels with ONNX Runtime's quantiser, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autokd_edge.backends.tvm.builder import INSTALL, NAME, PRECISIONS
from autokd_edge.backends.tvm.linker import PROGRAM_SOURCE
from autokd_edge.core.quantization import QuantizeReport
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.runtime import LinkedRuntime, Runtime, refuse_other_variants
from autokd_edge.ports import Link


class TVMQuantizer:
    """Static quantisation to int8, quantise-dequantise pairs in the graph; ``link`` leads to this machine."""

    def __init__(self, link: Link, *, timeout_s: float = 600.0) -> None:
        self._runtime = LinkedRuntime(runtime=TVM, link=link)
        self._timeout_s = timeout_s  # 300 samples of a 16-convolution network take 2 s

    def quantize(
        self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path, keep: Sequence[str] = ()
    ) -> QuantizeReport:
        """Calibrate with the first 300 samples at most and write the quantised graph; equal input, equal bytes.

        Activations are signed where the processor's dot product takes signed numbers alone.

        Raises:
            QuantizeError: the variant is not int8, the samples do not fit the graph, or the quantiser failed.
        """
        return self._runtime.quantize(graph, samples, variant=variant, target=target, keep=keep, out=out, timeout_s=self._timeout_s)


def _settings(variant: Variant) -> Mapping[str, str]:
    refuse_other_variants(variant, NAME, PRECISIONS)
    return {}


TVM = Runtime(
    name=NAME,
    packages=("apache-tvm",),
    on_device=(),
    install=INSTALL,
    driver=PROGRAM_SOURCE,
    quantize_driver=Path(__file__).with_name("quantize_driver.py"),
    settings=_settings,
)
