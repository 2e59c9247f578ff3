"""Hold the clocks of a device still while somebody measures, and put them back as they were.

On a Jetson its fastest power mode where that needs no restart, and jetson_clocks; elsewhere the governors of the cores.
As root, or by sudo that asks nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from autokd_edge.devices.clock_scripts import LOCK, RESTORE, WATCH
from autokd_edge.devices.device import Device
from autokd_edge.devices.facts import POWER_MODES
from autokd_edge.devices.process import last_line
from autokd_edge.errors import DeviceError, MeasureError
from autokd_edge.ports import Link

_log = logging.getLogger(__name__)

CORES = "/sys/devices/system/cpu"
_TIMEOUT_S = 60.0
GRACE_S = 90  # longer than the tries to open a lost connection again take
_PUT_BACK = ", and restored"


@contextmanager
def clocks_locked(
    link: Link, *, power_modes: Sequence[str] = (), cores: str = CORES, modes: str = POWER_MODES, grace_s: int = GRACE_S
) -> Iterator[str]:
    """Lock the clocks, say how ("not locked" and nothing is changed where that is not permitted), and restore them.

    ``power_modes`` are the names of nvpmodel's modes, the fastest first; a mode that needs a restart of the board is left.
    Where this process is killed, or the way to the device stays broken, the device itself restores them after ``grace_s``.

    Raises:
        MeasureError: the device did not answer in time.
        DeviceError: the device, or the way to it, failed.
    """
    try:
        locked = link.run(["sh", "-c", LOCK, "sh", cores, modes, str(grace_s), WATCH, *power_modes], stdin=b"", timeout_s=_TIMEOUT_S)
    except (DeviceError, MeasureError):
        _restore(link)  # how far it came is written down there
        raise
    if locked.status != 0:
        yield f"not locked: {last_line(locked.stderr) or 'not permitted'}"
        return
    how, note = locked.stdout.decode(errors="replace").splitlines()[:2]
    try:
        yield f"locked by {how}{_PUT_BACK}" + (f"; {note}" if note else "")
    finally:
        _restore(link)


@contextmanager
def clocks_held(device: Device, power_modes: Sequence[str] = ()) -> Iterator[None]:
    """Lock the clocks of a device, or of each board of a pool, for a whole run, and restore them also where it fails.

    What is not permitted, or not possible, is a warning: the readings say by themselves whether clocks were locked.
    """
    pool = device.pool
    links = [device.link] if pool is None else [pool.devices[number].link for number in pool.present]
    with ExitStack() as stack:
        for link in links:
            try:
                how = stack.enter_context(clocks_locked(link, power_modes=power_modes))
            except (DeviceError, MeasureError) as error:
                how = f"not locked: {error}"
            if not how.endswith(_PUT_BACK):
                _log.warning("the clocks of '%s' are %s", link.device or "this machine", how)
        yield


def _restore(link: Link) -> None:
    """Put the clocks back; where that fails it is said, and what was measured is not lost for it."""
    try:
        finished = link.run(["sh", "-c", RESTORE, "sh"], stdin=b"", timeout_s=_TIMEOUT_S)
        reason = "" if finished.status == 0 else last_line(finished.stderr) or f"status {finished.status}"
    except (DeviceError, MeasureError) as error:
        reason = str(error)
    if reason:
        _log.warning(
            "the clocks of '%s' could not be put back, the next run with --lock-clocks does: %s", link.device or "this machine", reason
        )
