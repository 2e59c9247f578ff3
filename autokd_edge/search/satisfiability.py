"""Can the limits be kept at all? Random candidates are asked of the device, none is taught."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.events import Action, Probe, Stop
from autokd_edge.core.pupil import Failed
from autokd_edge.core.study import Study, keeps
from autokd_edge.search.chooser import Chooser
from autokd_edge.search.history import Reading, readings
from autokd_edge.search.verdicts import Closest, closest

_BATCH = 8  # probes an action: the display moves on between them


class ProbingPolicy:
    """Probes so many candidates and stops."""

    def __init__(self, chooser: Chooser, most: int) -> None:
        if most < 1:
            raise ValueError(f"candidates to probe must be at least 1; got {most}")
        self._chooser = chooser
        self._most = most

    def next(self, study: Study) -> Action:
        """Return the next batch; a pure function of the study."""
        left = self._most - len(study.probes)
        if left <= 0:
            return Stop(reason=f"{self._most} candidates were probed")
        members = self._chooser.probe(study, min(_BATCH, left))
        return Probe(members=members) if members else Stop(reason=f"the space has no more than {len(study.probes)} candidates")

    def is_mid_turn(self, study: Study) -> bool:  # noqa: ARG002  the port's signature
        """Say no: any batch may come between two of this target's."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of the measured candidates keep one limit; ``bound`` in the limit's unit (ns, bytes)."""

    limit: str
    bound: float
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfiability:
    """What the candidates came to; ``fastest`` and ``smallest`` (of peak memory) are None where nothing was measured."""

    probed: int
    refused: tuple[Failed, ...]
    measured: int
    fitting: int  # keep all limits
    shares: tuple[Share, ...]
    fastest: Reading | None
    smallest: Reading | None
    closest: Closest | None  # None where one fits


def satisfiability(study: Study) -> Satisfiability:
    """Count what fits, and find the extremes."""
    known = readings(study)
    fitting = sum(keeps(reading.slacks) for reading in known)
    shares = []
    for i, slack in enumerate(known[0].slacks if known else ()):
        shares.append(Share(limit=slack.limit, bound=slack.bound, kept=sum(reading.slacks[i].excess <= 0 for reading in known)))
    return Satisfiability(
        probed=len(study.probes),
        refused=tuple(probed.outcome for probed in study.probes if isinstance(probed.outcome, Failed)),
        measured=len(known),
        fitting=fitting,
        shares=tuple(shares),
        fastest=min(known, key=lambda reading: reading.measurement.median_ns, default=None),
        smallest=min(known, key=lambda reading: reading.measurement.memory.engine_bytes, default=None),
        closest=None if fitting else closest(study),
    )
