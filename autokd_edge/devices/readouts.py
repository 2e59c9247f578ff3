"""Read what the tools of boards print: vcgencmd of Raspberry Pi, nvpmodel and tegrastats of Jetson."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Raspberry Pi's documentation of get_throttled: the same four 16 bits higher say "since the start".
_THROTTLE_BITS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
_SINCE_START = 16
_THROTTLED = re.compile(r"throttled=0x([0-9a-fA-F]+)")
_POWER_MODE = re.compile(r"NV Power Mode:\s*(\S.*)")
# A comment of that file shows the form, with a word for the number.
_KNOWN_MODE = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=\d+\s+NAME=([^\s>]+)", re.MULTILINE)
_MEMORY = re.compile(r"\bRAM (\d+)/(\d+)MB")
_CORES = re.compile(r"\b(?:CPU|cpu) \[([^\]]*)\](?:@(\d+))?")
_CORE = re.compile(r"(\d+)%(?:@(\d+))?")
_GPU = re.compile(r"\bGR3D(?:_FREQ)? (\d+)%(?:@\[?([\d,]+)\]?)?")
_SENSOR = re.compile(r"\b([A-Za-z][A-Za-z0-9_]*)@(-?\d+(?:\.\d+)?)C\b")
_POWER = re.compile(r"\b(VDD_IN|POM_5V_IN|VIN_SYS_5V0) (\d+)(?:mW)?/")
# Sensors that no one has ever seen move, or that say -256 where they are off.
_NO_TEMPERATURES = {"PMIC"}
_COLDEST_C = -100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TegraState:
    """One line of tegrastats; None where this board does not say."""

    memory_used_mb: int
    memory_mb: int
    cores_on: int
    cores_off: int
    cpu_mhz: int | None  # of the fastest core
    gpu_percent: int | None
    gpu_mhz: int | None
    temperature_c: float | None  # of the hottest sensor
    power_mw: int | None  # of the whole board


def throttled_now(said: str) -> tuple[str, ...]:
    """Return what holds the clocks of a Raspberry Pi down now."""
    return _bits(said, 0)


def throttled_before(said: str) -> tuple[str, ...]:
    """Return what has held the clocks of a Raspberry Pi down since it was started."""
    return _bits(said, _SINCE_START)


def power_mode(said: str) -> str:
    """Return the name of a Jetson's power mode, "" where there is none."""
    found = _POWER_MODE.search(said)
    return found[1].strip() if found else ""


def power_modes(conf: str) -> tuple[str, ...]:
    """Return the names of the power modes that a Jetson has, by its nvpmodel.conf, in its order."""
    return tuple(_KNOWN_MODE.findall(conf))


def power_mode_command(name: str) -> str:
    """Return what to type on a Jetson to put it into a mode; only its own nvpmodel.conf says what number the name has there."""
    return f"sudo nvpmodel -m $(grep -oP 'ID=\\K[0-9]+(?= NAME={name} )' /etc/nvpmodel.conf)"


def tegra_state(line: str) -> TegraState | None:
    """Read a line of tegrastats, of any JetPack; None where it is none."""
    memory, cores = _MEMORY.search(line), _CORES.search(line)
    if memory is None or cores is None:
        return None
    states = cores[1].split(",")
    clocks = [found[2] or cores[2] for found in map(_CORE.match, states) if found]
    gpu, power = _GPU.search(line), _POWER.search(line)
    degrees = [float(value) for name, value in _SENSOR.findall(line) if name not in _NO_TEMPERATURES and float(value) > _COLDEST_C]
    return TegraState(
        memory_used_mb=int(memory[1]),
        memory_mb=int(memory[2]),
        cores_on=len(clocks),
        cores_off=states.count("off"),
        cpu_mhz=max((int(clock) for clock in clocks if clock), default=None),
        gpu_percent=int(gpu[1]) if gpu else None,
        gpu_mhz=max(map(int, gpu[2].split(","))) if gpu and gpu[2] else None,
        temperature_c=max(degrees, default=None),
        power_mw=int(power[2]) if power else None,
    )


def _bits(said: str, shift: int) -> tuple[str, ...]:
    found = _THROTTLED.search(said)
    bits = int(found[1], 16) >> shift if found else 0
    return tuple(name for bit, name in enumerate(_THROTTLE_BITS) if bits >> bit & 1)
