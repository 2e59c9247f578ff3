"""The arithmetic in which networks are run while teaching: bfloat16 where the processor has it."""

from __future__ import annotations

import torch


def fast_arithmetic() -> torch.autocast:
    """Return the context in which convolutions run in bfloat16, or in float32 where the processor has no bfloat16.

    Channels-last in bfloat16 was the fastest of four ways for both kinds of students and for the teachers, see
    docs/decisions/0004-teaching.md; asked of the processor, not timed, so that a seed gives the same weights on one machine.
    """
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001  no public name
