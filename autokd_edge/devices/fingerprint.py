"""What this machine says of itself, and the target that it therefore is.

Sources: /proc/cpuinfo, /proc/meminfo, /etc/os-release, cpufreq under /sys; standard library only.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from autokd_edge.core.measure import Fingerprint
from autokd_edge.core.target import Target
from autokd_edge.errors import TargetError

UNKNOWN = "unknown"
# The flags, in the kernel's spelling, that decide which inference kernels run.
INFERENCE_FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8"),
    *("avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
# With one of these an int8 product is summed in int32; without, pairs are summed in int16 and saturate.
_VNNI = {"avx_vnni", "avx_vnni_int8", "avx512_vnni", "amx_int8"}
# MemTotal moves by some MiB with each kernel; a machine must stay the same target over an update.
_MEMORY_STEP = 256 * 2**20


def read_fingerprint(root: Path = Path("/"), machine: str | None = None) -> Fingerprint:
    """Read the fingerprint of this machine; what it does not say is "unknown", 0 or empty."""
    cpu = _cpuinfo(root)
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    return Fingerprint(
        machine=machine or platform.machine(),
        processor=cpu.get("model name") or _text(root / "proc/device-tree/model").rstrip("\0") or cpu.get("Model") or UNKNOWN,
        isa_flags=tuple(flag for flag in INFERENCE_FLAGS if flag in flags),
        cores=int(cpu["cores"]),
        memory_bytes=_memory_bytes(root),
        system=f"{platform.system()} {platform.release()}, {_distribution(root)}",
        governor=_governor(root),
        virtual="hypervisor" in flags or (root / "proc/device-tree/hypervisor").exists() or (root / "sys/hypervisor/type").exists(),
    )


def target_here(target: Target, machine: Fingerprint) -> Target:
    """Return the target as this machine is: probed facts filled in, written facts checked.

    A probed target's ``int8_saturates`` follows from the ISA flags; its memory is rounded down to
    256 MiB, so that a kernel update does not make another machine of it.

    Raises:
        TargetError: this machine is not such a target, so that a reading taken here would carry a wrong name.
    """
    if machine.machine != target.architecture:
        raise TargetError(
            f"target '{target.name}' must run on {target.architecture}; this machine is {machine.machine}", hint="autokd-edge targets"
        )
    if target.probe:
        return replace(
            target,
            probe=False,
            isa_flags=machine.isa_flags,
            cores=machine.cores,
            memory_bytes=max(_MEMORY_STEP, machine.memory_bytes // _MEMORY_STEP * _MEMORY_STEP),
            int8_saturates=machine.machine == "x86_64" and not _VNNI & set(machine.isa_flags),
        )
    missing = [flag for flag in target.isa_flags if flag not in machine.isa_flags]
    if missing or target.cores != machine.cores:
        lacks = f", without {', '.join(missing)}" if missing else ""
        raise TargetError(
            f"target '{target.name}' must have {target.cores} cores and {', '.join(target.isa_flags)}; "
            f"this machine is '{machine.processor}' with {machine.cores} cores{lacks}",
            hint="--target host measures for the machine at hand",
        )
    return target


def _cpuinfo(root: Path) -> dict[str, str]:
    """First value of each field, and the number of processors as "cores"."""
    found: dict[str, str] = {}
    cores = 0
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        cores += name == "processor"
        found.setdefault(name, value)
    return {**found, "cores": str(cores)}


def _memory_bytes(root: Path) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024  # the kernel's kB is 1024 bytes
    return 0


def _distribution(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return UNKNOWN


def _governor(root: Path) -> str:
    cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return "+".join(sorted({_text(path).strip() for path in cpus})) or UNKNOWN


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
