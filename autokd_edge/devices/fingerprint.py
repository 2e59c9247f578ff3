"""What a machine is by what it says of itself, and the target that it therefore is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autokd_edge.core.measure import Fingerprint
from autokd_edge.core.target import Target
from autokd_edge.devices.facts import (
    AUXILIARY,
    CLOCK,
    COMPATIBLE,
    COUNTER,
    EMULATED,
    GOVERNOR,
    HYPERVISORS,
    INTERPRETER,
    MODEL,
    POWER_MODE,
    POWER_MODES,
    TEMPERATURE,
    THROTTLED,
    UNAME,
    Facts,
    facts_here,
    facts_over,
    matching,
)
from autokd_edge.devices.readouts import power_mode, power_mode_command, power_modes, throttled_now
from autokd_edge.devices.throttling import GpuClock, gpu_clock, held_by_cooling, throttle_events
from autokd_edge.errors import TargetError
from autokd_edge.ports import Link

UNKNOWN = "unknown"
# The flags, in the kernel's spelling, that decide which inference kernels run.
INFERENCE_FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8"),
    *("avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
_X86 = {"x86_64", "i686", "i586", "i386"}
_AUXILIARY = re.compile(r"^(AT_HWCAP2?):\s*(?:0x)?([0-9a-f]+)$", re.MULTILINE)
_HWCAP_BITS = {
    "AT_HWCAP": {"asimd": 1, "asimdhp": 10, "asimddp": 20, "sve": 22},
    "AT_HWCAP2": {"sve2": 1, "i8mm": 13, "bf16": 14},
}
# e_machine in the header of a program's file (elf.h): 3 is x86, 62 x86-64, 40 Arm, 183 AArch64.
_ELF_MACHINES = {"aarch64": {183, 40}, "armv7l": {40}, "x86_64": {62, 3}}
# With one of these an int8 product is summed in int32; without, pairs are summed in int16 and saturate.
_VNNI = {"avx_vnni", "avx_vnni_int8", "avx512_vnni", "amx_int8"}
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # without one of these bf16 would be computed in float
# What can be done about a machine that is not the target.
_ELSEWHERE = (
    "--device ssh://user@host measures on such a board, --predict recorded (or FILE of tools/record_readings.py) predicts its readings; "
    "--target host measures for the machine at hand"
)
# MemTotal moves by some MiB with each kernel; a machine must stay the same target over an update.
MEMORY_STEP = 256 * 2**20


def read_fingerprint(root: Path = Path("/"), machine: str | None = None) -> Fingerprint:
    """Read the fingerprint of this machine; what it does not say is "unknown", 0 or empty."""
    return fingerprint_of(facts_here(root, machine))


def fingerprint_over(link: Link) -> Fingerprint:
    """Read the fingerprint of the machine at the other end of a link; raises DeviceError."""
    return fingerprint_of(facts_over(link))


def fingerprint_of(facts: Facts) -> Fingerprint:
    """Make the fingerprint of what a machine said."""
    kernel, _, machine = facts[UNAME].strip().rpartition(" ")
    cpu = _cpuinfo(facts)
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    emulated = _emulated(machine, cpu, facts)
    if emulated:
        flags = _flags_of_auxiliary(facts)
    gpu = gpu_clock(facts) or GpuClock(khz=0, locked=False)
    temperatures = [int(text) for text in matching(facts, TEMPERATURE) if text.lstrip("-").isdigit()]
    return Fingerprint(
        machine=machine,
        processor=f"emulated {machine}" if emulated else _processor(cpu, facts),
        isa_flags=tuple(flag for flag in INFERENCE_FLAGS if flag in flags),
        cores=int(cpu["cores"]),
        memory_bytes=_memory_bytes(facts, "MemTotal"),
        system=f"{kernel}, {_distribution(facts)}",
        governor="+".join(sorted(set(matching(facts, GOVERNOR)))) or UNKNOWN,
        virtual="hypervisor" in (cpu.get("flags") or "").split() or any(path in facts for path in HYPERVISORS),
        emulated=emulated,
        available_bytes=_memory_bytes(facts, "MemAvailable"),
        clock_khz=max((int(text) for text in matching(facts, CLOCK) if text.isdigit()), default=0),
        temperature_c=max(temperatures) / 1000 if temperatures else None,
        throttled=(*throttled_now(facts.get(THROTTLED, "")), *held_by_cooling(facts)),
        throttle_events=throttle_events(facts),
        gpu_khz=gpu.khz,
        gpu_locked=gpu.locked,
        power_mode=power_mode(facts.get(POWER_MODE, "")),
        power_modes=power_modes(facts.get(POWER_MODES, "")),
        compatible=facts.get(COMPATIBLE, "").strip(),
        counts_instructions=emulated and bool(facts.get(COUNTER, "").strip()),
    )


def target_here(target: Target, machine: Fingerprint) -> Target:
    """Return the target as the machine is: probed facts filled in, written facts checked.

    A probed target's ``int8_saturates`` and its bf16 variants follow from the ISA flags; its memory is rounded down to
    256 MiB, so that a kernel update does not make another machine of it.

    Raises:
        TargetError: the machine is not such a target, so that a reading taken here would carry a wrong name.
    """
    if machine.machine != target.architecture:
        raise TargetError(
            f"target '{target.name}' must run on {target.architecture}; the machine is {machine.machine}",
            hint=_ELSEWHERE,
        )
    if target.probe:
        return replace(
            target,
            probe=False,
            variants=tuple(variant for variant in target.variants if variant.precision != "bf16" or _BF16 & set(machine.isa_flags)),
            isa_flags=machine.isa_flags,
            cores=machine.cores,
            memory_bytes=max(MEMORY_STEP, machine.memory_bytes // MEMORY_STEP * MEMORY_STEP),
            int8_saturates=machine.machine == "x86_64" and not _VNNI & set(machine.isa_flags),
        )
    missing = [flag for flag in target.isa_flags if flag not in machine.isa_flags]
    # An emulated board has the cores of the machine under it; its readings say that they are emulated.
    if missing or (target.cores != machine.cores and not machine.emulated):
        lacks = f", without {', '.join(missing)}" if missing else ""
        raise TargetError(
            f"target '{target.name}' must have {target.cores} cores and {', '.join(target.isa_flags)}; "
            f"the machine is '{machine.processor}' with {machine.cores} cores{lacks}",
            hint=_all_cores_hint(target, machine) if not missing and machine.cores < target.cores else _ELSEWHERE,
        )
    if not has_chip(target, machine):
        raise TargetError(
            f"target '{target.name}' must have the chip '{target.chip}'; the machine says '{machine.compatible or machine.processor}'",
            hint=_ELSEWHERE,
        )
    return target


def has_chip(target: Target, machine: Fingerprint) -> bool:
    """Say whether a machine may have the target's chip: one that says nothing of itself, or is emulated, may."""
    said = f"{machine.compatible} {machine.processor}" if machine.processor != UNKNOWN else machine.compatible
    return machine.emulated or not said.strip() or target.chip in said


def fastest_mode(target: Target, machine: Fingerprint) -> str:
    """Return the fastest of a target's power modes that the machine has, as older JetPacks lack the newest; "" where there are none."""
    known = [mode for mode in target.power_modes if mode in machine.power_modes]
    return next(iter(known or target.power_modes), "")


def _all_cores_hint(target: Target, machine: Fingerprint) -> str:
    """Say what gives a board its other cores back: a Jetson's slower power modes switch some of them off."""
    if not target.power_modes:
        return _ELSEWHERE
    mode = f"; the board is in {machine.power_mode}" if machine.power_mode else ""
    return f"slower power modes switch cores off{mode}. On the board: {power_mode_command(fastest_mode(target, machine))}"


def _cpuinfo(facts: Facts) -> dict[str, str]:
    """First value of each field, and the number of processors as "cores"."""
    found: dict[str, str] = {}
    cores = 0
    for line in facts.get("/proc/cpuinfo", "").splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        cores += name == "processor"
        found.setdefault(name, value)
    return {**found, "cores": str(cores)}


def _emulated(machine: str, cpu: Mapping[str, str], facts: Facts) -> bool:
    """Say whether programs run on another processor than they are made for.

    One sign is enough: the mark of the project's own emulated board; an x86 processor in /proc/cpuinfo (older
    emulators of programs show their host's); a shell that is, for the kernel, a program for another processor.
    """
    header = facts.get(INTERPRETER, "").split()
    known = _ELF_MACHINES.get(machine)
    foreign = known is not None and len(header) == 20 and int(header[18]) + 256 * int(header[19]) not in known
    return EMULATED in facts or (machine not in _X86 and "flags" in cpu) or foreign


def _processor(cpu: Mapping[str, str], facts: Facts) -> str:
    return cpu.get("model name") or facts.get(MODEL, "").strip() or cpu.get("Model") or UNKNOWN


def _flags_of_auxiliary(facts: Facts) -> set[str]:
    """Read the features of an aarch64 processor from the bits that programs are told (asm/hwcap.h)."""
    words = {name: int(bits, 16) for name, bits in _AUXILIARY.findall(facts.get(AUXILIARY, ""))}
    return {flag for name, bits in _HWCAP_BITS.items() for flag, bit in bits.items() if words.get(name, 0) >> bit & 1}


def _memory_bytes(facts: Facts, field: str) -> int:
    for line in facts.get("/proc/meminfo", "").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024  # the kernel's kB is 1024 bytes
    return 0


def _distribution(facts: Facts) -> str:
    for line in facts.get("/etc/os-release", "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return UNKNOWN
