"""What a machine says of itself, raw: files by their paths and the output of commands by their words.

On this machine the files are read directly; on another one a shell script prints them all in one go.
"""

from __future__ import annotations

import platform
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from autokd_edge.devices.process import last_line
from autokd_edge.errors import UnreachableError
from autokd_edge.ports import Link

Facts: TypeAlias = Mapping[str, str]

UNAME = "uname -srm"
AUXILIARY = "auxiliary vector"  # what the kernel, or an emulator, tells a program of the processor
POWER_MODES = "/etc/nvpmodel.conf"  # of a Jetson: the modes that this board has
WHOLE = ("/proc/cpuinfo", "/proc/meminfo", "/etc/os-release", POWER_MODES)
GOVERNOR = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
CLOCK = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
TEMPERATURE = "/sys/class/thermal/thermal_zone[0-9]*/temp"
COOLING = ("/sys/class/thermal/cooling_device[0-9]*/type", "/sys/class/thermal/cooling_device[0-9]*/cur_state")
# Clocks of what is no CPU; a Jetson's GPU is one of them.
OTHER_CLOCKS = tuple(f"/sys/class/devfreq/*/{bound}_freq" for bound in ("cur", "min", "max"))
EVENTS = "/sys/class/hwmon/hwmon*/oc*_event_cnt"  # over-current and under-voltage events of a Jetson
MODEL = "/proc/device-tree/model"
COMPATIBLE = "/proc/device-tree/compatible"  # names with a zero byte after each
HYPERVISORS = ("/proc/device-tree/hypervisor/compatible", "/sys/hypervisor/type")
EMULATED = "/etc/autokd-edge-emulated"  # tools/emulated_board.py writes it
INTERPRETER = "header of the running shell"  # of the program that runs it for the kernel: an emulator, where there is one
COUNTER = "autokd-count-instructions"  # on a board of tools/emulated_board.py: runs a program and counts its instructions
# Of one line each.
LINES = (MODEL, *HYPERVISORS, EMULATED, GOVERNOR, CLOCK, TEMPERATURE, *COOLING, *OTHER_CLOCKS, EVENTS)
THROTTLED = "vcgencmd get_throttled"
POWER_MODE = "nvpmodel -q"
_TIMEOUT_S = 30.0

_SCRIPT = f"""
mark=$1
PATH=$PATH:/usr/sbin:/sbin:/opt/vc/bin
say() {{ printf '\\n%s %s\\n' "$mark" "$1"; }}
ask() {{ command -v "$1" >/dev/null 2>&1 && say "$*" && "$@" 2>&1; }}
say '{UNAME}'; {UNAME}
for path in {" ".join(WHOLE)}; do [ -r "$path" ] && say "$path" && cat "$path"; done
for path in {" ".join(LINES)}; do
  line=
  [ -r "$path" ] || continue
  read -r line <"$path"
  say "$path"; echo "$line"
done 2>/dev/null
[ -r {COMPATIBLE} ] && say {COMPATIBLE} && tr '\\0' ' ' <{COMPATIBLE}
say '{AUXILIARY}'; LD_SHOW_AUXV=1 /bin/true
say '{INTERPRETER}'; od -An -v -tu1 -N20 "/proc/$$/exe" 2>/dev/null
ask {THROTTLED}
ask {POWER_MODE}
say '{COUNTER}'; command -v {COUNTER}
true
"""


def facts_here(root: Path = Path("/"), machine: str | None = None) -> Facts:
    """Read the files of this machine, or of a folder that looks like one; what is not there is left out."""
    patterns = (*WHOLE, COMPATIBLE, *LINES)
    paths = [path for pattern in patterns for path in sorted(root.glob(pattern.removeprefix("/")))]
    found = {f"/{path.relative_to(root)}": _text(path) for path in paths}
    return {UNAME: f"{platform.system()} {platform.release()} {machine or platform.machine()}", **found}


def facts_over(link: Link, script: str = _SCRIPT, *args: str) -> Facts:
    """Ask the machine at the other end of a link; what it does not say is left out.

    Raises:
        DeviceError: the device, or the way to it, failed, or it answers no such question.
    """
    mark = secrets.token_hex(8)
    finished = link.run(["sh", "-c", script, "sh", mark, *args], stdin=b"", timeout_s=_TIMEOUT_S)
    text = finished.stdout.decode(errors="replace").replace("\0", "")
    sections = text.split(f"\n{mark} ")[1:]
    if finished.status != 0 or not sections:
        raise UnreachableError(f"'{link.device}' must run a POSIX shell; {last_line(finished.stderr) or 'it said nothing'}")
    return {name: said for name, _, said in (section.partition("\n") for section in sections)}


def matching(facts: Facts, pattern: str) -> list[str]:
    """Return what the files of a pattern with one star say, each without the spaces around it."""
    before, _, after = pattern.replace("[0-9]*", "*").partition("*")
    return [text.strip() for name, text in facts.items() if name.startswith(before) and name.endswith(after)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", " ").rstrip(" ")
    except OSError:
        return ""
