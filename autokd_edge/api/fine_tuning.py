"""Whether quantisation-aware tuning can be done as it is asked for, seen before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from autokd_edge.core.target import Variant
from autokd_edge.errors import InputError
from autokd_edge.pipeline.stages import needs_quantizing

USUAL_STEPS = 400  # what hints propose


def check_qat_steps(steps: int) -> None:
    """Refuse a number of steps below 0; raises InputError."""
    if steps < 0:
        raise InputError(f"qat-steps must be at least 0, which tunes nothing; got {steps}", hint=f"--qat-steps {USUAL_STEPS}")


def check_tunable(steps: int, variants: Sequence[Variant], *, of: str) -> None:
    """Refuse to tune where nothing is quantised; ``of`` says whose variants they are. Raises InputError."""
    if steps and not any(map(needs_quantizing, variants)):
        known = ", ".join(dict.fromkeys(map(str, variants)))
        raise InputError(f"qat-steps tunes int8 engines; {of} has {known} alone", hint="leave --qat-steps out")
