"""What a study delivers for one goal: the engines to ship, where their bundles lie, and what a report tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autokd_edge.api.folder import RunFolder, manifest_in
from autokd_edge.bundle.manifest import Manifest
from autokd_edge.core.events import Graded
from autokd_edge.core.explanation import Explanation
from autokd_edge.core.study import Study
from autokd_edge.report.outcome import OnFront, Outcome
from autokd_edge.search.verdicts import best_grade, closest, to_ship


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An engine to ship and the folder of its bundle; ``manifest`` is None while no whole bundle is there."""

    graded: Graded
    bundle: Path
    manifest: Manifest | None


def deliveries(view: Study, bundle: Path) -> tuple[Delivery, ...]:
    """Return what is shipped for a goal: in ``bundle``, or of a front in its subfolders 1, 2, ..., the fastest first."""
    engines = to_ship(view)
    homes = [bundle / str(place) for place, _ in enumerate(engines, start=1)] if view.goal.pareto else [bundle]
    return tuple(Delivery(graded=one, bundle=home, manifest=manifest_in(home)) for one, home in zip(engines, homes, strict=False))


def outcome_of(name: str, view: Study, folder: RunFolder, delivered: tuple[Delivery, ...], explanation: Explanation | None) -> Outcome:
    """Put together what a report tells of a goal."""
    best, nearest = best_grade(view), closest(view)
    manifest = next((one.manifest for one in delivered if one.graded == best), None)
    return Outcome(
        name=name,
        study=view,
        best=best,
        closest="" if best is not None or nearest is None else str(nearest),
        accuracies=() if manifest is None else manifest.card.accuracies,
        student=None if manifest is None or manifest.card.student is None else manifest.card.student.spec,
        teacher=folder.teacher(),
        explanation=explanation,
        tuning=None if manifest is None else manifest.card.tuning,
        front=tuple(
            OnFront(
                graded=one.graded,
                bundle="" if one.manifest is None else str(one.bundle.relative_to(folder.root)),
                accuracies=() if one.manifest is None else one.manifest.card.accuracies,
            )
            for one in (delivered if view.goal.pareto else ())
        ),
    )
