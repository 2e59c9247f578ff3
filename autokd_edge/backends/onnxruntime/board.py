"""Time ONNX Runtime engines, read their memory and run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autokd_edge.backends.onnxruntime.builder import ONNX_RUNTIME, ONNXRuntimeBuilder
from autokd_edge.core.measure import Fingerprint
from autokd_edge.devices.board import Place, RuntimeBoard
from autokd_edge.devices.fingerprint import read_fingerprint
from autokd_edge.ports import Exclusive, Link


class ONNXRuntimeBoard(RuntimeBoard):
    """Runs engines with ONNX Runtime's CPU provider on the device of a link.

    ``folder`` keeps the two reference engines. ``fingerprint`` reads the machine that the link leads to.
    """

    def __init__(self, link: Link, lease: Exclusive, folder: Path, *, fingerprint: Callable[[], Fingerprint] = read_fingerprint) -> None:
        super().__init__(ONNX_RUNTIME, ONNXRuntimeBuilder(link), Place(link=link, lease=lease, folder=folder, fingerprint=fingerprint))
