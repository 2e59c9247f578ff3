"""What a user asks of a compilation, as text, and what it means; nothing is written while it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autokd_edge.api.qat_steps import USUAL_STEPS, check_qat_steps
from autokd_edge.api.tuning import check_most
from autokd_edge.core.limits import MAX_QUANT_DROP, parse_drop
from autokd_edge.errors import InputError

AUTO = "auto"
STANDALONE, RUNTIME = FORMS = ("standalone", "runtime")  # needs nothing but Linux; loads in the compiler's own runtime too
PRECISIONS = (AUTO, "fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """The options of ``autokd-edge compile`` under the same names, unread.

    ``mean`` and ``std`` are one number a channel, "0.485,0.456,0.406", in units of pixel / 255; by default
    those of the data set, or 0 and 1 without one. ``qat_steps`` tunes an INT8 engine that loses more than ``max_drop``, by the
    answers of ``teacher``: the model itself in float by default, "none" for labels alone. ``tune`` is how many candidates of
    each layer are timed on the device.
    """

    model: str
    out: str
    target: str = "host"
    precision: str = AUTO
    data: str | None = None
    max_drop: str | None = None
    device: str | None = None
    mean: str | None = None
    std: str | None = None
    form: str = STANDALONE
    qat_steps: int = 0
    teacher: str | None = None
    tune: int | None = None

    def points(self) -> float:
        """Read how many points an engine may lose against fp32; raises LimitError."""
        return MAX_QUANT_DROP if self.max_drop is None else parse_drop(self.max_drop)

    def normalisation(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Read mean and std for a number of channels; raises InputError."""
        mean = _numbers("mean", self.mean or ",".join(["0"] * channels), channels)
        std = _numbers("std", self.std or ",".join(["1"] * channels), channels)
        if min(std) <= 0:
            raise InputError(f"std must be positive; got '{self.std}'", hint="--std 0.229,0.224,0.225")
        return mean, std

    def check(self) -> None:
        """Refuse what can be seen from the text alone; raises InputError."""
        self.points()
        check_most(self.tune)
        if self.precision not in PRECISIONS:
            raise InputError(f"precision must be one of {', '.join(PRECISIONS)}; got '{self.precision}'", hint="--precision auto")
        if self.form not in FORMS:
            raise InputError(f"form must be one of {', '.join(FORMS)}; got '{self.form}'", hint=f"--form {RUNTIME}")
        self._check_tuning()
        if self.max_drop is not None and self.data is None:
            raise InputError("a limit on the accuracy needs images to grade engines with, and there is no data set", hint="--data NAME")
        if (self.mean is None) != (self.std is None):
            raise InputError("mean and std must be given together", hint="--mean 0.5 --std 0.5")

    def _check_tuning(self) -> None:
        check_qat_steps(self.qat_steps)
        if self.qat_steps and self.data is None:
            raise InputError("tuning needs images to learn from, and there is no data set", hint="--data NAME")
        if self.qat_steps and self.precision not in {AUTO, "int8"}:
            raise InputError(f"qat-steps tunes int8 engines; got precision '{self.precision}'", hint="--precision int8")
        if self.teacher is not None and not self.qat_steps:
            raise InputError(f"a teacher is asked while int8 is tuned alone; got '{self.teacher}'", hint=f"--qat-steps {USUAL_STEPS}")


def _numbers(name: str, text: str, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise InputError(f"{name} must be {count} numbers, one a channel; got '{text}'", hint=f"--{name} {','.join(['0.5'] * count)}")
    return numbers
