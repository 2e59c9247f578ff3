"""Target descriptors: what a device is, each fact with its source."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_CAPABILITY = re.compile(r"\d{1,2}\.\d\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A (backend, precision) pair that a device really accelerates."""

    backend: str
    precision: str  # fp32 | fp16 | bf16 | int8

    def __str__(self) -> str:
        return f"{self.backend}/{self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device as its descriptor says it; units in names.

    ``probe`` says that cores, memory and ISA flags are read from the machine that runs this, so the
    three are empty in the descriptor. ``sources`` gives the source of each other fact. The fields with a
    default are for some families only.
    """

    name: str
    family: str  # x86 | arm | jetson | rtx
    description: str
    architecture: str  # as `uname -m` prints it
    probe: bool
    isa_flags: tuple[str, ...]
    cores: int
    memory_bytes: int
    threads: int  # inference threads
    variants: tuple[Variant, ...]
    int8_saturates: bool  # int16 accumulators overflow: needs the overflow fix
    opset_max: int
    static_shapes_only: bool
    channel_multiple: int  # what the target's kernels like channels to be a multiple of
    sources: dict[str, str]
    compute_capabilities: tuple[str, ...] = ()  # of the NVIDIA GPUs that engines are built for, "8.7"
    qdq_allowed: bool = True  # the runtime reads quantise-dequantise pairs, and the chip has integer products
    workspace_bytes: int = 0  # what a compiler on the device may take; 0 leaves it to the compiler
    runtime_versions: dict[str, str] = field(default_factory=dict)  # package -> versions seen on such devices, "8.0 - 8.2"
    chip: str = ""  # as such a device names it, in its device tree's "compatible" or in its processor's name; "" for any
    power_modes: tuple[str, ...] = ()  # as nvpmodel names them, the one with the highest clocks first

    def __post_init__(self) -> None:
        if not self.variants:
            raise ValueError(f"variants must not be empty for target '{self.name}'")
        for capability in self.compute_capabilities:
            if not _CAPABILITY.match(capability):
                raise ValueError(f"a compute capability must be written like 8.7; got '{capability}'")
        if self.workspace_bytes < 0:
            raise ValueError(f"workspace_bytes must not be negative; got {self.workspace_bytes}")
        if not self.qdq_allowed and any(variant.precision == "int8" for variant in self.variants):
            raise ValueError(f"target '{self.name}' takes no quantise-dequantise pairs, so it must have no int8 variant")
        for name in ("threads", "opset_max", "channel_multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.probe and (self.isa_flags or self.cores or self.memory_bytes):
            raise ValueError("isa_flags, cores and memory_bytes must be empty where probe is true")
        if not self.probe and (self.cores < 1 or self.memory_bytes < 1):
            raise ValueError(f"cores and memory_bytes must be positive; got {self.cores} and {self.memory_bytes}")
