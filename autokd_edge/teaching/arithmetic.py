"""Where networks are run while teaching, and in which arithmetic: bfloat16 where the processor, or the GPU, has it."""

from __future__ import annotations

import torch

CPU = torch.device("cpu")


def teaching_device() -> torch.device:
    """Return the first NVIDIA GPU that this build of torch can use, set up to repeat its results, or the processor.

    ``CUDA_VISIBLE_DEVICES`` says which GPU is the first one, and none where it is empty.
    """
    if not torch.cuda.is_available():
        return CPU
    # The same kernels in each run, and float32 that is not rounded to ten bits: students are graded in it.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda:0")


def fast_arithmetic(device: torch.device = CPU) -> torch.autocast:
    """Return the context in which convolutions run in bfloat16, or in float32 where the device has no bfloat16.

    Channels-last in bfloat16 was the fastest of four ways for both kinds of students and for the teachers, see
    docs/decisions/0004-teaching.md; asked of the device, not timed, so that a seed gives the same weights on one machine.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_computes_in_bfloat16(device))


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001  no public name
