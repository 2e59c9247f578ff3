"""Build TensorRT-RTX engines ahead of time, each in a process of its own: no GPU and no driver is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from autokd_edge.backends.tensorrt.lint import lint_quantisers
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.program import failing_as, made_on_device
from autokd_edge.devices.runtime import LinkedRuntime, Runtime, refuse_other_variants
from autokd_edge.errors import BuildError, UnsupportedOperationError
from autokd_edge.ports import Link

NAME = "tensorrt_rtx"
PRECISIONS = ("fp32", "fp16", "int8")
# What TensorRT-RTX 1.7 names; it builds for each of them on any machine.
COMPUTE_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
_DRIVER = Path(__file__).with_name("driver.py")


class RTXBuilder:
    """Builds one engine for all compute capabilities of the target; ``link`` leads to this machine."""

    def __init__(self, link: Link, *, timeout_s: float = 300.0) -> None:
        self._runtime = LinkedRuntime(runtime=TENSORRT_RTX, link=link)
        self._timeout_s = timeout_s  # a student takes half a second

    def toolchain(self) -> Mapping[str, str]:
        """Return the installed versions of the packages that decide an engine's bytes; raises BuildError."""
        return self._runtime.toolchain()

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Build an engine and write it to ``out``; nothing is left there after a failure.

        Raises:
            UnsupportedOperationError: a compute capability that TensorRT-RTX does not build for, or
                quantisation that it does not take.
            BuildError: the variant is not one of this backend's, or the compiler refused the graph.
        """
        self.inspected(graph, variant=variant, target=target, out=out)

    def inspected(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> dict[str, int]:
        """Build an engine and count its network's layers by the type that they read: all that is to be seen without a GPU."""
        refuse_other_variants(variant, NAME, PRECISIONS)
        unknown = [capability for capability in target.compute_capabilities if capability not in COMPUTE_CAPABILITIES]
        if unknown or not target.compute_capabilities:
            raise UnsupportedOperationError(
                f"TensorRT-RTX builds for compute capabilities {', '.join(COMPUTE_CAPABILITIES)}; target '{target.name}' "
                f"has {', '.join(target.compute_capabilities) or 'none'}"
            )
        _check(graph, variant, target)
        link = self._runtime.link
        with failing_as(BuildError), made_on_device(link, out) as made:
            request = {
                "graph": link.push(graph),
                "out": made,
                "precision": variant.precision,
                "compute_capabilities": list(target.compute_capabilities),
            }
            answer = self._runtime.ask("build", request, timeout_s=self._timeout_s, failure=BuildError)
            if "refused" in answer:
                raise BuildError(f"TensorRT-RTX refused the graph: {answer['refused']}")
        layers: dict[str, int] = answer["layers"]
        return layers


def _check(graph: Path, variant: Variant, target: Target) -> None:
    try:
        model = onnx.load(graph)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise BuildError(f"a graph must be an ONNX file; '{graph}' is not: {error}") from error
    lint_quantisers(model, variant, target)


def _settings(variant: Variant) -> Mapping[str, str]:
    refuse_other_variants(variant, NAME, PRECISIONS)
    return {}


TENSORRT_RTX = Runtime(
    name=NAME,
    packages=("tensorrt_rtx_cu13", "onnx", "onnxruntime"),  # ONNX Runtime's tools turn graphs into fp16 and int8
    on_device=(),
    install="pip install 'autokd-edge[tensorrt-rtx]'",
    driver=_DRIVER,
    quantize_driver=_DRIVER,
    settings=_settings,
)
