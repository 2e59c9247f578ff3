"""Why a study came to what it did: which limit binds, what more of it would buy, which parameters mattered.

Counts are of readings. What is said of accuracy, and of candidates that were never probed, comes from
the study's models and is a prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

# Points of accuracy below which a predicted gain is none: models of a few teachings do not tell so little apart.
LEAST_GAIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Loosened:
    """One device limit, and what a little more of it would change; bounds in the limit's unit (ns, bytes, instructions).

    ``predicted`` is the validation accuracy, in %, that the best candidate within the loosened limits is
    predicted to have after a teaching of the search, ``gain`` how many points more that is than within
    today's; both are None where accuracy has no model.
    """

    limit: str
    bound: float
    loosened: float
    broken: int  # measured candidates that break it
    broken_alone: int  # of them, those that keep all other limits
    fitting: int  # measured candidates that keep all limits
    fitting_then: int  # that would with the loosened one
    predicted: float | None
    gain: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """Share of a model's variance over the space that goes with one parameter, others included it acts with: 0 to 1.

    None where there is no such model. Shares may add up to more than 1.
    """

    parameter: str
    accuracy: float | None
    latency: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What explains a study; ``loosened`` begins with the limit that binds, ``influences`` with the greatest.

    ``unexplained`` says why accuracy has no model; it is empty where it has one.
    """

    measured: int
    lessons: int
    loosened: tuple[Loosened, ...]
    influences: tuple[Influence, ...]
    unexplained: str = ""
