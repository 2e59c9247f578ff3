"""Quantise ONNX graphs for our own integer kernels with ONNX Runtime's quantiser, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from autokd_edge.backends.tvm.builder import INSTALL, NAME, PRECISIONS
from autokd_edge.backends.tvm.linker import PROGRAM_SOURCE
from autokd_edge.backends.tvm.processor import processor_of
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.program import ask, failing_as, made_on_device
from autokd_edge.devices.runtime import QUANTIZE_PROGRAM, Runtime, refuse_other_variants
from autokd_edge.errors import BuildError, QuantizeError
from autokd_edge.ports import Link

# -P keeps a program's own folder off the path.
_PYTHON = (sys.executable, "-P")


class TVMQuantizer:
    """Static quantisation to int8, quantise-dequantise pairs in the graph; ``link`` leads to this machine."""

    def __init__(self, link: Link, *, timeout_s: float = 600.0) -> None:
        self._link = link
        self._timeout_s = timeout_s

    def quantize(self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Calibrate with the first 300 samples at most and write the quantised graph; equal input, equal bytes.

        Activations are signed where the processor's dot product takes signed numbers alone.

        Raises:
            QuantizeError: the variant is not int8, the target is of an architecture that is not built for, the
                samples do not fit the graph, or the quantiser failed.
        """
        if variant.backend != NAME or variant.precision != "int8":
            raise QuantizeError(f"the quantiser of backend '{NAME}' is for {NAME}/int8; got '{variant}'")
        try:
            signed = processor_of(target).dot == "sdot"
        except BuildError as error:
            raise QuantizeError(error.args[0], hint=error.hint) from error
        with failing_as(QuantizeError), made_on_device(self._link, out) as made:
            pushed = [self._link.push(path) for path in (graph, samples, QUANTIZE_PROGRAM, TVM.quantize_driver)]
            request = {"graph": pushed[0], "samples": pushed[1], "out": made, "signed": signed}
            argv = [*_PYTHON, pushed[2], pushed[3]]
            ask(self._link, argv, request, timeout_s=self._timeout_s, failure=QuantizeError, hint=INSTALL)


def _settings(variant: Variant) -> Mapping[str, str]:
    refuse_other_variants(variant, NAME, PRECISIONS)
    return {}


TVM = Runtime(
    name=NAME,
    packages=("apache-tvm",),
    install=INSTALL,
    driver=PROGRAM_SOURCE,
    quantize_driver=Path(__file__).with_name("quantize_driver.py"),
    settings=_settings,
)
