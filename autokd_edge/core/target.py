"""Target descriptors: what a device is, each fact with its source."""

from __future__ import annotations

from dataclasses import dataclass


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
    three are empty in the descriptor. ``sources`` gives the source of each other fact.
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

    def __post_init__(self) -> None:
        if not self.variants:
            raise ValueError(f"variants must not be empty for target '{self.name}'")
        for name in ("threads", "opset_max", "channel_multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.probe and (self.isa_flags or self.cores or self.memory_bytes):
            raise ValueError("isa_flags, cores and memory_bytes must be empty where probe is true")
        if not self.probe and (self.cores < 1 or self.memory_bytes < 1):
            raise ValueError(f"cores and memory_bytes must be positive; got {self.cores} and {self.memory_bytes}")
