"""What holds a machine's clocks down, by the kernel's own files, at one moment and over a reading.

A Jetson has no command that says it, as a Raspberry Pi's vcgencmd does. Its kernel says it in three places:

- a cooling device whose state is not 0: its type names the clocks that it holds (``devfreq-gpu-gpc-0``,
  ``thermal-cpufreq-0``) or the alert that the firmware gave (``gpu-throttle-alert``). Fans are cooling devices too,
  and hold nothing down;
- counters of over-current and under-voltage events, each of which divides the clocks for some time (JetPack 5 and
  later, ``soctherm-oc-event`` of NVIDIA's kernel): more after a reading than before it;
- the GPU's clock: where its bounds are equal, as jetson_clocks leaves them, it has no cause of its own to fall.

Where the bounds differ a clock that fell may have been let go because the work was done: nothing follows from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from autokd_edge.core.measure import Fingerprint
from autokd_edge.devices.facts import Facts

_COOLING = re.compile(r"^/sys/class/thermal/(cooling_device\d+)/type$")
# Newer Jetsons: cpufreq-cpu0, devfreq-gpu-gpc-0, gpu-throttle-alert; Linux at large: thermal-cpufreq-0; JetPack 4 (recalled):
# gpu-balanced, tegra-heavy.
_HOLDS_CLOCKS = re.compile(r"cpufreq|devfreq|throttle-alert$|-balanced$|-heavy$")
# 57000000.gpu (Nano), 17000000.gp10b, .gv11b, .ga10b (TX2, Xavier, Orin), 17000000.gpu (Orin, JetPack 6), gpu-gpc-0 (Thor).
_GPU = re.compile(r"^/sys/class/devfreq/((?:.*\.)?(?:gpu|gm20b|gp10b|gv11b|ga10b)|gpu-gpc-\d+)/cur_freq$")
_EVENTS = re.compile(r"^/sys/class/hwmon/hwmon\d+/oc\d+_event_cnt$")
_FALL = 0.01  # of the clock; its steps are larger, and a clock that is read may be rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuClock:
    """The clock of a Jetson's GPU now, and whether its bounds leave it no other."""

    khz: int
    locked: bool


def held_by_cooling(facts: Facts) -> tuple[str, ...]:
    """Name the cooling devices that hold clocks down now."""
    found = {match[1]: text.strip() for path, text in facts.items() if (match := _COOLING.match(path))}
    states = {device: facts.get(f"/sys/class/thermal/{device}/cur_state", "").strip() for device in found}
    return tuple(
        dict.fromkeys(
            kind for device, kind in found.items() if _HOLDS_CLOCKS.search(kind) and states[device].isdigit() and int(states[device])
        )
    )


def throttle_events(facts: Facts) -> int:
    """Count the over-current and under-voltage events since the start; 0 where nobody counts them."""
    return sum(int(text) for path, text in facts.items() if _EVENTS.match(path) and text.strip().isdigit())


def gpu_clock(facts: Facts) -> GpuClock | None:
    """Read the clock of a Jetson's GPU; None where there is none."""
    for path, text in facts.items():
        if _GPU.match(path) and text.strip().isdigit():
            folder = path.rpartition("/")[0]
            least, most = (facts.get(f"{folder}/{bound}_freq", "").strip() for bound in ("min", "max"))
            return GpuClock(khz=int(text) // 1000, locked=least == most != "")
    return None


def over_reading(before: Fingerprint, after: Fingerprint) -> Fingerprint:
    """Return the fingerprint of a reading: the one before it, with all that held its clocks down and the higher temperature."""
    laws = {
        "over-current or under-voltage": after.throttle_events > before.throttle_events,
        "GPU clock fell": before.gpu_locked and after.gpu_locked and after.gpu_khz < (1 - _FALL) * before.gpu_khz,
    }
    held = dict.fromkeys((*before.throttled, *after.throttled, *(name for name, holds in laws.items() if holds)))
    degrees = [value for value in (before.temperature_c, after.temperature_c) if value is not None]
    return replace(before, throttled=tuple(held), temperature_c=max(degrees, default=None))
