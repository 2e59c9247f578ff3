"""Optimise ONNX graphs into ONNX Runtime engines, each in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from autokd_edge.backends.onnxruntime.driver import VECTORS_KEY
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.runtime import LinkedRuntime, Runtime, refuse_other_variants
from autokd_edge.errors import BuildError
from autokd_edge.ports import Link

NAME = "onnxruntime"
PRECISIONS = ("fp32", "int8")
DYNAMIC = "int8-dynamic"
DYNAMIC_REFUSED = (
    f"{NAME}/{DYNAMIC} is refused: with ranges found at each inference ONNX Runtime fuses nothing into an integer "
    "convolution, and two networks ran 11 times slower than in float"  # 0.53 ms against 7.1 ms, 0.25 ms against 2.8 ms, with 1.32
)
DYNAMIC_HINT = f"use {NAME}/int8, whose ranges come from calibration images"


class ONNXRuntimeBuilder:
    """Builds engines with ONNX Runtime's CPU provider: sequential, the target's number of threads."""

    def __init__(self, link: Link, *, timeout_s: float = 120.0) -> None:
        self._runtime = LinkedRuntime(runtime=ONNX_RUNTIME, link=link)
        self._timeout_s = timeout_s  # a 60-convolution student takes 0.3 s

    def toolchain(self) -> Mapping[str, str]:
        """Return the versions of the packages that decide an engine's bytes, those on the device read from it.

        Raises:
            BuildError: one of them is not installed here.
            RuntimeMissingError: ONNX Runtime is not on the device.
        """
        return self._runtime.toolchain()

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Optimise a graph and write the engine, one ONNX file, to ``out``; nothing is left there after a failure.

        Raises:
            BuildError: the variant is not one of this backend's, or the runtime refused the graph,
                crashed, or took too long (retryable).
        """
        answer = self._runtime.build(graph, variant=variant, target=target, out=out, timeout_s=self._timeout_s)
        _finish(out, vectors=answer["vectors"])


def _finish(engine: Path, *, vectors: str) -> None:
    """Name each node by its first output, because the runtime numbers some by addresses; note what the weights are blocked for."""
    model = onnx.load(engine)
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.helper.set_model_props(model, {VECTORS_KEY: vectors})
    engine.write_bytes(model.SerializeToString(deterministic=True))


def _settings(variant: Variant) -> Mapping[str, str]:
    if variant.precision == DYNAMIC:
        raise BuildError(DYNAMIC_REFUSED, hint=DYNAMIC_HINT)
    refuse_other_variants(variant, NAME, PRECISIONS)
    return {}


ONNX_RUNTIME = Runtime(
    name=NAME,
    packages=("onnxruntime", "onnx"),
    on_device=("onnxruntime", "numpy"),
    install="pip install 'autokd-edge[onnxruntime]'",
    driver=Path(__file__).with_name("driver.py"),
    quantize_driver=Path(__file__).with_name("quantize_driver.py"),
    settings=_settings,
)
