"""Examine a device: what its descriptor says, what it says itself, what is missing and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autokd_edge.core.measure import Fingerprint
from autokd_edge.core.target import Target
from autokd_edge.devices.facts import MODEL, THROTTLED, Facts, facts_over
from autokd_edge.devices.fingerprint import UNKNOWN, fastest_mode, has_chip, target_here
from autokd_edge.devices.readouts import power_mode_command, tegra_state, throttled_before
from autokd_edge.errors import TargetError
from autokd_edge.ports import Link

# "ok" and "note" let a search run, "wrong" does not.
Weight: TypeAlias = Literal["ok", "note", "wrong"]

TEGRA_RELEASE = "/etc/nv_tegra_release"
TEGRASTATS = "tegrastats"
PROGRAMS = "programs"
DISK = "free disk"
_NEEDED = {"sha256sum": "coreutils", "flock": "util-linux", "xargs": "findutils", "du": "coreutils", "find": "findutils"}
_LEAST_DISK_KB = 2**20  # 1 GiB: what is kept on a board at most
_WARM_C = 75.0  # a Raspberry Pi throttles softly at 60 to 80 degrees, a Jetson at 95 or so
_LEAST_SHARE, _MOST_SHARE = 0.8, 1.05  # of the memory that the board is sold with, as MemTotal says it
_L4T = re.compile(r"# (R\d+) \(release\), REVISION: ([\d.]+)")

_SCRIPT = f"""
mark=$1
PATH=$PATH:/usr/sbin:/sbin:/usr/src/tensorrt/bin
say() {{ printf '\\n%s %s\\n' "$mark" "$1"; }}
say '{PROGRAMS}'
for name in {" ".join(_NEEDED)} python3 trtexec; do command -v "$name"; done
[ -r {TEGRA_RELEASE} ] && say {TEGRA_RELEASE} && cat {TEGRA_RELEASE}
for path in "${{XDG_CACHE_HOME:-$HOME/.cache}}" "$HOME" /; do [ -d "$path" ] && break; done
say '{DISK}'; df -Pk "$path"
command -v tegrastats >/dev/null && say {TEGRASTATS} && timeout 5 tegrastats --interval 500 | head -n 1
true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of an examination; ``mend`` is the command to type, or what to do."""

    what: str
    descriptor: str
    device: str
    weight: Weight
    mend: str = ""


def facts_of_doctor(link: Link) -> Facts:
    """Ask a device for what only a doctor wants to know; raises DeviceError."""
    return facts_over(link, _SCRIPT)


def examine(target: Target, machine: Fingerprint, facts: Facts, *, device: str | None) -> tuple[Finding, ...]:
    """Compare a device with its descriptor, and see whether a search could run there; runtimes are not looked at."""
    return (
        *_identity(target, machine, facts),
        *_state(target, machine, facts),
        *_tools(facts, device),
    )


def _identity(target: Target, machine: Fingerprint, facts: Facts) -> Iterator[Finding]:
    try:
        target_here(target, machine)
    except TargetError as error:
        yield Finding(what="target", descriptor=target.name, device=error.args[0], weight="wrong", mend=error.hint)
    said = facts.get(MODEL, "").strip()
    architecture = _fact("architecture", target.architecture, machine.machine)
    yield architecture
    processor = f"{machine.processor}{f', {said}' if said else ''}"
    right = architecture.weight == "ok" and has_chip(target, machine)
    yield Finding(what="processor", descriptor=target.description, device=processor, weight="ok" if right else "wrong")
    release = _L4T.search(facts.get(TEGRA_RELEASE, ""))
    l4t = f", L4T {release[1]}.{release[2]}" if release else ""
    yield Finding(what="system", descriptor="", device=f"{machine.system}{l4t}", weight="ok")
    if not target.probe:
        yield _cores(target, machine)
        lacks = [flag for flag in target.isa_flags if flag not in machine.isa_flags]
        flags = " ".join(machine.isa_flags) + (f" (without {' '.join(lacks)})" if lacks else "")
        yield Finding(what="ISA flags", descriptor=" ".join(target.isa_flags), device=flags, weight="wrong" if lacks else "ok")
        yield _memory(target, machine)
    else:
        yield Finding(what="cores", descriptor="read from it", device=str(machine.cores), weight="ok")
        yield Finding(what="ISA flags", descriptor="read from it", device=" ".join(machine.isa_flags), weight="ok")
        yield Finding(what="memory", descriptor="read from it", device=_gib(machine.memory_bytes), weight="ok")


def _state(target: Target, machine: Fingerprint, facts: Facts) -> Iterator[Finding]:
    tegra = tegra_state(facts.get(TEGRASTATS, ""))
    yield Finding(what="available memory", descriptor="", device=_gib(machine.available_bytes), weight="ok")
    if machine.emulated:
        yield Finding(what="emulated", descriptor="", device="yes: readings are called emulated, never measured", weight="note")
    if machine.virtual:
        yield Finding(what="virtual machine", descriptor="", device="yes: clocks and neighbours are out of reach", weight="note")
    if machine.power_mode:
        yield _power_mode(target, machine)
    fixed = machine.governor == "performance"
    known = machine.governor != UNKNOWN
    yield Finding(
        what="governor",
        descriptor="performance",
        device=machine.governor if known else "unknown: its clocks cannot be held still from here",
        weight="ok" if fixed else "note",
        mend="echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor" if known and not fixed else "",
    )
    if machine.clock_khz or (tegra is not None and tegra.cpu_mhz):
        gpu = f", GPU {tegra.gpu_mhz} MHz" if tegra is not None and tegra.gpu_mhz else ""
        cpu = machine.clock_khz // 1000 or (tegra.cpu_mhz if tegra is not None else 0)
        yield Finding(what="clocks", descriptor="", device=f"CPU {cpu} MHz{gpu}", weight="ok")
    degrees = [value for value in (machine.temperature_c, tegra.temperature_c if tegra is not None else None) if value is not None]
    if degrees:
        warm = max(degrees) >= _WARM_C
        yield Finding(
            what="temperature",
            descriptor="",
            device=f"{max(degrees):.1f} °C",
            weight="note" if warm else "ok",
            mend="cool it" if warm else "",
        )
    before = throttled_before(facts.get(THROTTLED, ""))
    if machine.throttled or before:
        held = f"now: {', '.join(machine.throttled) or 'nothing'}; since the start: {', '.join(before) or 'nothing'}"
        yield Finding(what="throttling", descriptor="", device=held, weight="note", mend="a stronger supply, a cooler, then start it anew")


def _cores(target: Target, machine: Fingerprint) -> Finding:
    """Compare the cores; an emulated board has those of the machine under it."""
    if machine.emulated:
        return Finding(what="cores", descriptor=str(target.cores), device=f"{machine.cores}, of the machine under it", weight="ok")
    return _fact("cores", str(target.cores), str(machine.cores))


def _memory(target: Target, machine: Fingerprint) -> Finding:
    """Compare the memory, of which a kernel keeps some for itself; an emulated board has that of the machine under it."""
    share = machine.memory_bytes / target.memory_bytes
    other = not machine.emulated and not _LEAST_SHARE < share < _MOST_SHARE
    said = f"{_gib(machine.memory_bytes)}{': a board with another memory than described' if other else ''}"
    return Finding(what="memory", descriptor=_gib(target.memory_bytes), device=said, weight="note" if other else "ok")


def _power_mode(target: Target, machine: Fingerprint) -> Finding:
    """Compare a Jetson's power mode with the fastest one; in a slower one a search is possible, and its readings say so."""
    mode = machine.power_mode
    fastest = fastest_mode(target, machine) or mode
    mend = "" if mode == fastest else power_mode_command(fastest)
    return Finding(what="power mode", descriptor=fastest, device=mode, weight="note" if mend else "ok", mend=mend)


def _tools(facts: Facts, device: str | None) -> Iterator[Finding]:
    found = {path.rpartition("/")[2]: path for path in facts.get(PROGRAMS, "").split()}
    if device is not None:
        lacks = [name for name in _NEEDED if name not in found]
        install = f"apt-get install {' '.join(dict.fromkeys(_NEEDED[name] for name in lacks))}" if lacks else ""
        said = f"without {', '.join(lacks)}" if lacks else "all there"
        yield Finding(what="programs", descriptor=", ".join(_NEEDED), device=said, weight="wrong" if lacks else "ok", mend=install)
        yield Finding(what="python3", descriptor="", device=found.get("python3", "none"), weight="ok")
    if "trtexec" in found:
        yield Finding(what="trtexec", descriptor="", device=found["trtexec"], weight="ok")
    free = _free_kb(facts.get(DISK, ""))
    if free is not None:
        tight = free < _LEAST_DISK_KB
        yield Finding(
            what="free disk", descriptor="", device=_gib(free * 1024), weight="note" if tight else "ok", mend="free some" if tight else ""
        )


def _fact(what: str, descriptor: str, device: str) -> Finding:
    return Finding(what=what, descriptor=descriptor, device=device, weight="ok" if descriptor == device else "wrong")


def _free_kb(df: str) -> int | None:
    lines = df.strip().splitlines()
    columns = lines[-1].split() if len(lines) > 1 else []
    return int(columns[3]) if len(columns) > 3 and columns[3].isdigit() else None


def _gib(amount_bytes: int) -> str:
    return f"{amount_bytes / 2**30:.1f} GiB"
