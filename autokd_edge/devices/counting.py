"""Count the instructions of a whole program on a board whose emulator counts them."""

from __future__ import annotations

from collections.abc import Sequence

from autokd_edge.devices.facts import COUNTER
from autokd_edge.devices.process import last_line
from autokd_edge.errors import MeasureError
from autokd_edge.ports import Link

_SCRIPT = f"""
AUTOKD_EDGE_COUNTER=$(mktemp) || exit
export AUTOKD_EDGE_COUNTER
{COUNTER} "$@" >/dev/null
status=$?
od -An -v -tu8 -N8 "$AUTOKD_EDGE_COUNTER"
rm -f "$AUTOKD_EDGE_COUNTER"
exit $status
"""


def instructions_of(link: Link, argv: Sequence[str], *, timeout_s: float) -> int:
    """Run a program, given by its path, and return how many instructions it took, from its start to its end.

    Raises:
        MeasureError: it failed, or nothing was counted.
        DeviceError: the device, or the way to it, failed.
    """
    finished = link.run(["sh", "-c", _SCRIPT, "sh", *argv], stdin=b"", timeout_s=timeout_s)
    said = finished.stdout.strip()
    if finished.status != 0 or not said.isdigit() or int(said) == 0:
        raise MeasureError(f"an emulator must count a program's instructions; it said: {last_line(finished.stderr) or said.decode()}")
    return int(said)
