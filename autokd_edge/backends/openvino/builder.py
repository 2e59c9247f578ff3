"""Compile ONNX graphs into OpenVINO engines for a CPU, GPU or NPU, each in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.runtime import LinkedRuntime, Runtime, refuse_other_variants
from autokd_edge.ports import Link

NAME, GPU, NPU = "openvino", "openvino-gpu", "openvino-npu"
# By backend: OpenVINO's name of the device, and of the precision that float layers run in. Layers that are not
# quantised run in float beside int8 ones: the graph's own quantisers decide the rest. NPUs compute nothing wider than fp16.
_PLUGINS = {
    NAME: ("CPU", {"fp32": "f32", "bf16": "bf16", "int8": "f32"}),
    GPU: ("GPU", {"fp32": "f32", "fp16": "f16", "int8": "f16"}),
    NPU: ("NPU", {"fp16": "f16", "int8": "f16"}),
}


class OpenVINOBuilder:
    """Builds engines for one of OpenVINO's devices: latency mode; on the CPU one stream and the target's number of threads."""

    def __init__(self, link: Link, *, runtime: Runtime | None = None, timeout_s: float = 120.0) -> None:
        self._runtime = LinkedRuntime(runtime=runtime or OPENVINO, link=link)
        self._timeout_s = timeout_s  # a 60-convolution student compiles in 0.5 s

    def toolchain(self) -> Mapping[str, str]:
        """Return the versions of the packages that decide an engine's bytes, those on the device read from it.

        Raises:
            BuildError: one of them is not installed here.
            RuntimeMissingError: OpenVINO is not on the device.
        """
        return self._runtime.toolchain()

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Compile a graph and write the engine, one blob, to ``out``; nothing is left there after a failure.

        Raises:
            AbsentDeviceError: OpenVINO sees no such device there.
            BuildError: the variant is not one of this backend's, or the compiler refused the graph, crashed, or took too
                long (retryable).
        """
        self._runtime.build(graph, variant=variant, target=target, out=out, timeout_s=self._timeout_s)


def precision_hint(variant: Variant) -> str:
    """Return OpenVINO's name of the precision that float layers must run in; raises BuildError."""
    name = variant.backend if variant.backend in _PLUGINS else NAME
    hints = _PLUGINS[name][1]
    refuse_other_variants(variant, name, tuple(hints))
    return hints[variant.precision]


def _settings(variant: Variant) -> Mapping[str, str]:
    hint = precision_hint(variant)
    return {"precision_hint": hint, "plugin": _PLUGINS[variant.backend][0]}


OPENVINO = Runtime(
    name=NAME,
    packages=("openvino", "nncf", "onnx", "onnxruntime"),  # NNCF collects its statistics with ONNX Runtime
    on_device=("openvino", "numpy"),
    install="pip install 'autokd-edge[openvino]'",
    driver=Path(__file__).with_name("driver.py"),
    quantize_driver=Path(__file__).with_name("quantize_driver.py"),
    settings=_settings,
)
# The null engine and the sentinel of an NPU run in fp16 as well.
OPENVINO_GPU, OPENVINO_NPU = replace(OPENVINO, name=GPU), replace(OPENVINO, name=NPU, reference="fp16")
