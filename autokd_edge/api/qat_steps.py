"""The number of steps of quantisation-aware tuning, as it is written; light, because it is read before anything is imported."""

from __future__ import annotations

from autokd_edge.errors import InputError

USUAL_STEPS = 400  # what hints propose


def check_qat_steps(steps: int) -> None:
    """Refuse a number of steps below 0; raises InputError."""
    if steps < 0:
        raise InputError(f"qat-steps must be at least 0, which tunes nothing; got {steps}", hint=f"--qat-steps {USUAL_STEPS}")
