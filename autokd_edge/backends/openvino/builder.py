"""Compile ONNX graphs into OpenVINO engines, each in a process of its own."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path

from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.program import ask, failing_as, made_on_device
from autokd_edge.errors import BuildError
from autokd_edge.ports import Link

NAME = "openvino"
INSTALL = "pip install 'autokd-edge[openvino]'"
# Layers that are not quantised run in f32 in both variants: the graph's own quantisers decide the rest.
PRECISION_HINTS = {"fp32": "f32", "int8": "f32"}
# What decides the bytes of a quantised graph and of its engine: NNCF collects its statistics with ONNX Runtime.
_PACKAGES = ("openvino", "nncf", "onnx", "onnxruntime")
# -P keeps this folder off the path of the program: its neighbours must never shadow a vendor's modules.
PYTHON = (sys.executable, "-P")
ON_DEVICE = Path(__file__).with_name("on_device.py")


class OpenVINOBuilder:
    """Builds engines with OpenVINO's CPU plugin: latency mode, one stream, the target's number of threads."""

    def __init__(self, link: Link, *, timeout_s: float = 120.0) -> None:
        self._link = link
        self._timeout_s = timeout_s  # a 60-convolution student compiles in 0.5 s

    def toolchain(self) -> Mapping[str, str]:
        """Return the installed versions of the packages that decide an engine's bytes.

        Raises:
            BuildError: one of them is not installed.
        """
        try:
            return {name: importlib.metadata.version(name) for name in _PACKAGES}
        except importlib.metadata.PackageNotFoundError as error:
            raise BuildError(f"backend '{NAME}' needs the package '{error.name}'", hint=INSTALL) from error

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Compile a graph and write the engine, one blob, to ``out``; nothing is left there after a failure.

        Raises:
            BuildError: the variant is not one of this backend's, or the compiler refused the graph,
                crashed, or took too long (retryable).
        """
        hint = precision_hint(variant)
        with failing_as(BuildError), made_on_device(self._link, out) as made:
            request = {"graph": self._link.push(graph), "out": made, "threads": target.threads, "precision_hint": hint}
            argv = [*PYTHON, self._link.push(ON_DEVICE), "build"]
            ask(self._link, argv, request, timeout_s=self._timeout_s, failure=BuildError, hint=INSTALL)


def precision_hint(variant: Variant) -> str:
    """Return OpenVINO's name of the precision that float layers must run in; raises BuildError."""
    if variant.backend != NAME or variant.precision not in PRECISION_HINTS:
        known = ", ".join(f"{NAME}/{precision}" for precision in PRECISION_HINTS)
        raise BuildError(f"backend '{NAME}' builds {known}; got '{variant}'")
    return PRECISION_HINTS[variant.precision]
