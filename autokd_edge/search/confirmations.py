"""What the final protocol says of untrained finalists before anything is spent on teaching them.

A finalist is read in the variant that kept the limits best when it was probed, then in the others that may keep them,
until one keeps all device limits: that one is enough to teach it. Where none does, it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Member, Screened
from autokd_edge.core.study import Study, keeps
from autokd_edge.core.target import Variant
from autokd_edge.core.variants import comparison, may_win


def is_confirmed(study: Study, member: Member) -> bool:
    """Say whether a variant of a member keeps all device limits by the final protocol; so it does where there is none."""
    if not study.goal.limits.of_device:
        return True
    return any(keeps(study.slacks(reading)) for reading in _readings(study, member).values())


def breaks(study: Study, member: Member, variant: Variant) -> bool:
    """Say whether the final protocol read an untrained member above a limit in a variant."""
    reading = _readings(study, member).get(variant)
    return reading is not None and not keeps(study.slacks(reading))


def next_variant(study: Study, member: Member, variants: Sequence[Variant]) -> Variant | None:
    """Return the variant that a finalist is to be read in next; None where it is confirmed or refused."""
    if is_confirmed(study, member):
        return None
    tried = {confirmed.variant for confirmed in study.confirmations if confirmed.member == member}
    return next((variant for variant in _best_first(study, member, variants) if variant not in tried), None)


def refused(study: Study, variants: Sequence[Variant]) -> frozenset[Member]:
    """Return the members that were read in every variant that may keep the limits and kept them in none."""
    members = {confirmed.member for confirmed in study.confirmations}
    return frozenset(m for m in members if not is_confirmed(study, m) and next_variant(study, m, variants) is None)


def least_excess(study: Study, member: Member) -> float | None:
    """Return the worst excess of the variant that the final protocol read nearest to the limits; None without a reading."""
    found = [max((slack.excess for slack in study.slacks(reading)), default=0.0) for reading in _readings(study, member).values()]
    return min(found, default=None)


def _readings(study: Study, member: Member) -> dict[Variant, Measurement]:
    known = [confirmed for confirmed in study.confirmations if confirmed.member == member]
    return {confirmed.variant: confirmed.outcome for confirmed in known if isinstance(confirmed.outcome, Measurement)}


def _best_first(study: Study, member: Member, variants: Sequence[Variant]) -> Sequence[Variant]:
    found = may_win(study, member, variants)
    screened = next((p.outcome for p in study.probes if p.member == member and isinstance(p.outcome, Screened)), None)
    if screened is None:
        return found
    best = study.best(screened).variant
    return [best, *(variant for variant in found if variant != best and _may_keep(study, screened, variant))]


def _may_keep(study: Study, screened: Screened, variant: Variant) -> bool:
    """Say whether another variant may keep the limits: it did when it was probed, or it was not read and is faster as a rule."""
    reading = screened.reading(variant)
    if reading is not None:
        return keeps(study.slacks(reading))
    usual = comparison(study, variant).median_ratio
    return usual is None or usual < (comparison(study, study.best(screened).variant).median_ratio or 1.0)
