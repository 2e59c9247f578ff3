"""Tell about a study that was run before, from its journal and its bundle alone."""

from __future__ import annotations

from pathlib import Path

from autokd_edge import wiring
from autokd_edge.api.deliveries import deliveries, outcome_of
from autokd_edge.api.folder import RunFolder
from autokd_edge.api.knowledge import spaces_digest
from autokd_edge.core.explanation import Explanation
from autokd_edge.core.study import Study, fold
from autokd_edge.errors import StoreError
from autokd_edge.report.outcome import Outcome
from autokd_edge.store.journal import SQLJournal

_HINT = "autokd-edge report runs/STUDY"


def outcomes_of(root: Path, *, store: str | None = None, study: str | None = None) -> tuple[tuple[Outcome, ...], RunFolder]:
    """Read a study back from the folder of its run: what it came to for each goal.

    ``study`` is needed where the journal holds several.

    Raises:
        StoreError: there is no journal, no such study, or several without a name.
    """
    folder = RunFolder(root, store=store)
    if store is None and not (root / "journal.db").is_file():
        raise StoreError(f"a report needs the folder of a run; '{root}' has no journal.db", hint=_HINT)
    journal = SQLJournal(folder.journal_url)
    names = journal.studies()
    if study is None and len(names) != 1:
        raise StoreError(f"a journal of {len(names)} studies needs a name: {', '.join(names) or 'none is there'}", hint="--study NAME")
    name = study or names[0]
    if name not in names:
        raise StoreError(f"study must be one of {', '.join(names) or 'none'}; got '{name}'", hint="--study NAME")
    found = fold(journal.read(name))
    bundles = folder.bundles(found.config)
    return tuple(_outcome(name, found.of(number), bundle, folder) for number, bundle in enumerate(bundles)), folder


def _outcome(name: str, view: Study, bundle: Path, folder: RunFolder) -> Outcome:
    return outcome_of(name, view, folder, deliveries(view, bundle), explained(view, folder))


def explained(study: Study, folder: RunFolder) -> Explanation | None:
    """Ask the study's models why it came to what it did.

    None before there is a reading, where torch or BoTorch is missing, and for a study of a version with other spaces.
    """
    task = folder.task()
    if task is None or study.reference is None:
        return None
    try:
        from autokd_edge.search.explain import explain
        from autokd_edge.teaching.trainer import loss_space
    except ModuleNotFoundError:  # the core alone is installed: the rest of the report needs no models
        return None
    spaces = (wiring.family_named(study.config.family).space(task), loss_space(study.config.loss))
    if study.config.spaces_digest != spaces_digest(spaces):  # another version chose from another space
        return None
    return explain(study, *spaces)


def latest_run(runs: Path) -> Path:
    """Return the run in a folder of runs whose journal was written last; raises StoreError where there is none."""
    found = sorted(runs.glob("*/journal.db"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise StoreError(f"a report needs the folder of a run; '{runs}' has none", hint=_HINT)
    return found[-1].parent
