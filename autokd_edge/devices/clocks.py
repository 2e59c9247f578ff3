"""Hold the clocks of a device still while somebody measures, and put them back as they were.

jetson_clocks where there is one, else the governors of the cores; as root, or by sudo that asks nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from autokd_edge.devices.device import Device
from autokd_edge.devices.process import last_line
from autokd_edge.errors import DeviceError, MeasureError
from autokd_edge.ports import Link

_log = logging.getLogger(__name__)

CORES = "/sys/devices/system/cpu"
_TIMEOUT_S = 60.0
_ROOT = """
PATH=$PATH:/usr/sbin:/sbin
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
"""
# $1 folder of the cores. Prints what locks, then what brings back the state of before.
_LOCK = f"""{_ROOT}
if command -v jetson_clocks >/dev/null; then
  kept=$(mktemp) && rm -f "$kept" && as_root jetson_clocks --store "$kept" >&2 && as_root jetson_clocks >&2 || exit
  echo jetson_clocks
  echo "$kept"
  exit
fi
before=
for path in "$1"/cpu[0-9]*/cpufreq/scaling_governor; do
  [ -r "$path" ] || continue
  read -r governor <"$path"
  before="$before $path=$governor"
done
[ -n "$before" ] || {{ echo "the machine has no governor" >&2; exit 1; }}
for pair in $before; do
  echo performance | as_root tee "${{pair%%=*}}" >/dev/null || exit
done
echo governor
echo "$before"
"""
# $1 what locks, $2 what brings back the state of before.
_RESTORE = f"""{_ROOT}
case $1 in
  jetson_clocks) as_root jetson_clocks --restore "$2" >&2 && as_root rm -f "$2" ;;
  *) for pair in $2; do echo "${{pair##*=}}" | as_root tee "${{pair%%=*}}" >/dev/null || exit; done ;;
esac
"""


@contextmanager
def clocks_locked(link: Link, *, cores: str = CORES) -> Iterator[str]:
    """Lock the clocks, say how ("" and nothing is touched where that is not permitted), and restore them.

    Raises:
        MeasureError: the device did not answer in time.
        DeviceError: the device, or the way to it, failed.
    """
    locked = link.run(["sh", "-c", _LOCK, "sh", cores], stdin=b"", timeout_s=_TIMEOUT_S)
    if locked.status != 0:
        yield f"not locked: {last_line(locked.stderr) or 'not permitted'}"
        return
    how, before = locked.stdout.decode(errors="replace").splitlines()[:2]
    try:
        yield f"locked by {how}, and restored"
    finally:
        _restore(link, how, before.strip())


@contextmanager
def clocks_held(device: Device) -> Iterator[None]:
    """Lock the clocks of a device, or of each board of a pool, for a whole run, and restore them also where it fails.

    What is not permitted, or not possible, is a warning: the readings say by themselves whether clocks were locked.
    """
    pool = device.pool
    links = [device.link] if pool is None else [pool.devices[number].link for number in pool.present]
    with ExitStack() as stack:
        for link in links:
            try:
                how = stack.enter_context(clocks_locked(link))
            except (DeviceError, MeasureError) as error:
                how = f"not locked: {error}"
            if how.startswith("not locked"):
                _log.warning("the clocks of '%s' are %s", link.device or "this machine", how)
        yield


def _restore(link: Link, how: str, before: str) -> None:
    """Put the clocks back; where that fails it is said, and what was measured is not lost for it."""
    try:
        finished = link.run(["sh", "-c", _RESTORE, "sh", how, before], stdin=b"", timeout_s=_TIMEOUT_S)
        reason = "" if finished.status == 0 else last_line(finished.stderr) or f"status {finished.status}"
    except (DeviceError, MeasureError) as error:
        reason = str(error)
    if reason:
        _log.warning("the clocks of '%s' could not be put back, a restart does: %s", link.device or "this machine", reason)
