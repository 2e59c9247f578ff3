"""Quantise ONNX graphs for NVIDIA's compilers, in a process of its own on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autokd_edge.core.quantization import QuantizeReport
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.runtime import LinkedRuntime, Runtime
from autokd_edge.errors import QuantizeError
from autokd_edge.ports import Link

DRIVER = Path(__file__).with_name("quantize_driver.py")


class ExplicitQuantizer:
    """Static quantisation to int8 by explicit pairs, for ``tensorrt`` and ``tensorrt_rtx``; ``link`` leads to this machine."""

    def __init__(self, backend: str, link: Link, *, timeout_s: float = 600.0) -> None:
        self._runtime = LinkedRuntime(runtime=_quantiser(backend), link=link)
        self._timeout_s = timeout_s  # 300 samples of a 16-convolution network take 2 s

    def quantize(
        self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path, keep: Sequence[str] = ()
    ) -> QuantizeReport:
        """Calibrate with the first 300 samples at most and write the quantised graph; equal input, equal bytes.

        Raises:
            QuantizeError: the variant is not int8, the target has no integer products, the samples do not
                fit the graph, or the quantiser failed.
        """
        if not target.qdq_allowed:
            capabilities = ", ".join(target.compute_capabilities)
            raise QuantizeError(
                f"target '{target.name}' (compute capability {capabilities}) has no integer products", hint="use its fp16 variant"
            )
        return self._runtime.quantize(graph, samples, variant=variant, target=target, keep=keep, out=out, timeout_s=self._timeout_s)


def _quantiser(backend: str) -> Runtime:
    """Return a runtime that quantises and does nothing else."""
    return Runtime(
        name=backend,
        packages=("onnxruntime", "onnx"),
        on_device=(),
        install="pip install 'autokd-edge[onnxruntime]'",
        driver=DRIVER,
        quantize_driver=DRIVER,
        settings=_no_settings,
    )


def _no_settings(_variant: Variant) -> Mapping[str, str]:
    return {}
