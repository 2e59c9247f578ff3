"""Time OpenVINO engines, read their memory and run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autokd_edge.backends.openvino.builder import OPENVINO, OpenVINOBuilder
from autokd_edge.core.measure import Fingerprint
from autokd_edge.devices.board import Place, RuntimeBoard
from autokd_edge.devices.fingerprint import read_fingerprint
from autokd_edge.devices.runtime import Runtime
from autokd_edge.ports import Exclusive, Link


class OpenVINOBoard(RuntimeBoard):
    """Runs engines with one of OpenVINO's plugins, by default that of the CPU, on the device of a link.

    ``folder`` keeps the two reference engines. ``fingerprint`` reads the machine that the link leads to.
    """

    def __init__(
        self,
        link: Link,
        lease: Exclusive,
        folder: Path,
        *,
        fingerprint: Callable[[], Fingerprint] = read_fingerprint,
        runtime: Runtime = OPENVINO,
    ) -> None:
        place = Place(link=link, lease=lease, folder=folder, fingerprint=fingerprint)
        super().__init__(runtime, OpenVINOBuilder(link, runtime=runtime), place)
