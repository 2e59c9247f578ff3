"""What the readings of untrained members said of each variant: the same lines for the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass

from autokd_edge.core.pupil import Screened
from autokd_edge.core.study import Study
from autokd_edge.core.target import Variant
from autokd_edge.core.variants import Comparison, absences, comparison
from autokd_edge.report import wording

COLUMNS = ("Variant", "Candidates read", "Median, against the first", "Said")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantLine:
    """One variant: on how many candidates it was read, how it compared, and what came of it."""

    variant: str
    read: str
    ratio: str
    said: str


def comparisons(study: Study) -> tuple[Comparison, ...]:
    """Compare the variants that untrained members were read in, the screening variant first."""
    outcomes = [probed.outcome for probed in study.probes if isinstance(probed.outcome, Screened)]
    variants: dict[Variant, None] = {}  # a dictionary for a set that keeps its order
    for outcome in outcomes:
        variants.update(dict.fromkeys([*(m.variant for m in outcome.measurements), *(unread.variant for unread in outcome.unread)]))
    variants.update(dict.fromkeys(variant for variant, _ in absences(study).values()))
    return tuple(comparison(study, variant) for variant in variants)


def variant_lines(study: Study) -> tuple[VariantLine, ...]:
    """Write a line for each variant that untrained members were read in; none where there was only one."""
    found = comparisons(study)
    if len(found) < 2:
        return ()
    leads = [probed.outcome.measurements[0].variant for probed in study.probes if isinstance(probed.outcome, Screened)]
    return tuple(_line(one, leads[0], leads[-1]) for one in found)


def _line(found: Comparison, first: Variant, last: Variant) -> VariantLine:
    ratio = found.median_ratio
    return VariantLine(
        variant=str(found.variant),
        read=f"{found.read}{f', {found.failed} failed' if found.failed else ''}",
        ratio="\N{EM DASH}" if ratio is None else f"{ratio:.2f}\N{MULTIPLICATION SIGN}",
        said=_said(found, first, last),
    )


def _said(found: Comparison, first: Variant, last: Variant) -> str:
    """Say what came of a variant; candidates were read in ``first`` first at the beginning, and in ``last`` at the end."""
    if found.variant == first:
        return "read first, on every candidate" if last == first else f"read first until it {found.why_skipped or 'lost'}; then {last} was"
    if found.variant == last:
        return f"read first since {first} was given up"
    if found.absent:
        return wording.left_out(found.variant, found.absent)
    if found.skipped:
        return f"skipped after it {found.why_skipped}"
    return "read where it could decide"
