"""What a target's processor means to the code generator: LLVM's names of it, its vectors and registers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autokd_edge.core.target import Target
from autokd_edge.errors import BuildError

Dot: TypeAlias = Literal["vnni", "sdot", ""]

# The oldest processor of each x86-64 level of the psABI; what lies beyond a level is named flag by flag.
_X86_LEVELS = (("avx512f", "x86-64-v4", 16, 32), ("avx2", "x86-64-v3", 8, 16), ("sse4_2", "x86-64-v2", 4, 16))
_X86_EXTRAS: Mapping[str, str] = {"avx512_vnni": "+avx512vnni", "avx_vnni": "+avxvnni"}
_ARM_EXTRAS: Mapping[str, str] = {"asimddp": "+dotprod", "asimdhp": "+fullfp16"}
_ARCHITECTURES = ("aarch64", "x86_64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """One kind of core, as LLVM and the schedules see it."""

    triple: str
    cpu: str
    features: tuple[str, ...]
    lanes: int  # float32 numbers in the widest vector
    registers: int  # vector registers
    dot: Dot  # instruction that sums products of four 8-bit numbers in int32

    @property
    def accumulators(self) -> int:
        """Vectors that a register tile holds; the others are for weights, pixels and spare."""
        return self.registers * 3 // 4

    @property
    def is_arm(self) -> bool:
        """Say whether it has Arm's vectors, which every 64-bit Arm has: conversions that saturate, look-ups of bytes."""
        return self.triple.startswith("aarch64")

    @property
    def half(self) -> bool:
        """Say whether it computes with 16-bit floats."""
        return "+fullfp16" in self.features

    @property
    def needs(self) -> tuple[str, ...]:
        """What a machine must have, in the compilers' words; a program checks it before anything else."""
        level = (self.cpu,) if self.triple.startswith("x86_64") and self.cpu != "x86-64" else ()
        return (*level, *(feature.lstrip("+") for feature in self.features))


def processor_of(target: Target) -> Processor:
    """Return the processor that code is made for: nothing that the target's ISA flags do not promise.

    Raises:
        BuildError: the architecture is none that this backend builds for.
    """
    flags = set(target.isa_flags)
    if target.architecture == "x86_64":
        level = next((level for level in _X86_LEVELS if level[0] in flags), ("", "x86-64", 4, 16))
        extras = tuple(feature for flag, feature in _X86_EXTRAS.items() if flag in flags)
        dot: Dot = "vnni" if "avx512_vnni" in flags else ""
        return Processor(triple="x86_64-linux-gnu", cpu=level[1], features=extras, lanes=level[2], registers=level[3], dot=dot)
    if target.architecture == "aarch64":
        extras = tuple(feature for flag, feature in _ARM_EXTRAS.items() if flag in flags)
        # Scheduling models: the A76 brought the dot product to small boards, the A72 stands for those before it.
        cpu = "cortex-a76" if "asimddp" in flags else "cortex-a72"
        return Processor(
            triple="aarch64-linux-gnu", cpu=cpu, features=extras, lanes=4, registers=32, dot="sdot" if "asimddp" in flags else ""
        )
    raise BuildError(f"backend 'tvm' builds for {', '.join(_ARCHITECTURES)}; target '{target.name}' is {target.architecture}")
