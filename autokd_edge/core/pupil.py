"""A candidate on its way: the network, how it is taught, and what each stage of it gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from autokd_edge.core.digest import Digest
from autokd_edge.core.measure import Measurement
from autokd_edge.core.quantization import Quantized
from autokd_edge.core.space import Point
from autokd_edge.core.target import Variant

Stage: TypeAlias = Literal["lower", "build", "measure", "teach", "quantize", "grade"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One network of a family: the family's parameters and the number of the sample, from 0."""

    architecture: Point
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """A member with the distillation parameters it is taught by."""

    member: Member
    distillation: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Exact counts of the deployed network, batch norm folded; activations are the largest live sum."""

    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A stage that ended without a result; no number stands in for it."""

    stage: Stage
    error: str  # class of the error
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A variant in which an untrained member gave no reading."""

    variant: Variant
    failure: Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """An untrained member was measured on the target (screen protocol); the screening variant's reading comes first."""

    cost: Cost
    measurements: tuple[Measurement, ...]  # one a variant, in the order taken
    unread: tuple[Unread, ...] = ()

    def __post_init__(self) -> None:
        variants = [m.variant for m in self.measurements] + [unread.variant for unread in self.unread]
        if not self.measurements or len(set(variants)) != len(variants):
            raise ValueError(
                f"a screened member must have a reading, and one for each variant; got {', '.join(map(str, variants)) or 'none'}"
            )

    def reading(self, variant: Variant) -> Measurement | None:
        """Return the reading of a variant, if there is one."""
        return next((m for m in self.measurements if m.variant == variant), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A pupil was taught: accuracy in % on the validation set, of the float network.

    ``checkpoint`` is None where the teaching paused on a rung before its end.
    """

    accuracy: float
    loss: float
    checkpoint: Digest | None
    seconds: float

    def __post_init__(self) -> None:
        _check_percent(self.accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A taught pupil's engine was measured (final protocol) and graded on the validation set, in %."""

    accuracy: float
    measurement: Measurement
    float_graph: Digest
    graph: Digest  # the graph that the engine was built from: the float one, or the quantised one
    engine: Digest
    quantized: Quantized | None = None  # how a quantised engine passed its gate

    def __post_init__(self) -> None:
        _check_percent(self.accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A lesson of an earlier study, by its validation accuracy in %."""

    pupil: Pupil
    accuracy: float


def _check_percent(accuracy: float) -> None:
    if not 0 <= accuracy <= 100:  # nor NaN, which every comparison would let through
        raise ValueError(f"accuracy must be 0 to 100 %; got {accuracy}")
