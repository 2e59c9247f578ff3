"""Quantise ONNX graphs for OpenVINO's CPU plugin with NNCF, in a process of its own."""

from __future__ import annotations

from pathlib import Path

from autokd_edge.backends.openvino.builder import INSTALL, NAME, PYTHON
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.program import ask, failing_as, made_on_device
from autokd_edge.errors import QuantizeError
from autokd_edge.ports import Link

_PROGRAM = Path(__file__).with_name("nncf_program.py")


class NNCFQuantizer:
    """Post-training quantisation to int8, quantise-dequantise pairs in the graph; ``link`` leads to this machine."""

    def __init__(self, link: Link, *, timeout_s: float = 600.0) -> None:
        self._link = link
        self._timeout_s = timeout_s  # 300 samples of a 60-convolution student take some 20 s

    def quantize(self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Calibrate with the first 300 samples at most and write the quantised graph; equal input, equal bytes.

        Raises:
            QuantizeError: the variant is not int8, the samples do not fit the graph, or NNCF failed.
        """
        if variant.backend != NAME or variant.precision != "int8":
            raise QuantizeError(f"NNCF quantises for {NAME}/int8; got '{variant}'")
        with failing_as(QuantizeError), made_on_device(self._link, out) as made:
            request = {
                "graph": self._link.push(graph),
                "samples": self._link.push(samples),
                "out": made,
                "int8_saturates": target.int8_saturates,
            }
            argv = [*PYTHON, self._link.push(_PROGRAM)]
            ask(self._link, argv, request, timeout_s=self._timeout_s, failure=QuantizeError, hint=INSTALL)
