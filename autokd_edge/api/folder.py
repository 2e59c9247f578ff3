"""The folder of a run: where its journal, artifacts, work, bundles and report lie, held by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autokd_edge.bundle.checker import read_bundle
from autokd_edge.bundle.manifest import MANIFEST, Manifest
from autokd_edge.core.atomic import written_whole
from autokd_edge.core.codec import Json, decode, encode
from autokd_edge.core.digest import Digest, digest_of_file
from autokd_edge.core.events import StudyConfig
from autokd_edge.core.student import StudentSpec, Task
from autokd_edge.errors import BundleError, StoreError
from autokd_edge.store.journal import sqlite_url


class RunFolder:
    """Paths below ``root``; ``store`` is the URL of a journal elsewhere."""

    def __init__(self, root: Path, *, store: str | None = None) -> None:
        self.root = root
        self.journal_url = store or sqlite_url(root / "journal.db")
        self.artifacts = root / "artifacts"
        self.work = root / "work"
        self.bundle = root / "bundle"
        self.report = root / "report.html"
        self.summary = root / "summary.json"
        self._teacher = self.work / "teacher.json"
        self._task = self.work / "task.json"

    def check(self) -> None:
        """Refuse a place that cannot be the folder of a run; writes nothing.

        Raises:
            StoreError: a file is in the way, or no folder may be made there.
        """
        existing = next(path for path in (self.root.absolute(), *self.root.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise StoreError(f"the folder of a run must be a folder; '{existing}' is a file", hint="--out runs/another")
        if not os.access(existing, os.W_OK):
            raise StoreError(f"the folder of a run must be writable; '{existing}' is not", hint="--out runs/another")

    @contextmanager
    def held(self, study: str) -> Iterator[None]:
        """Hold the folder for this process; raises StoreError where another one runs in it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"one process at a time may run a study; another one runs '{study}' in '{self.root}'", hint="wait for it to end"
                ) from None
            yield

    def bundles(self, config: StudyConfig) -> tuple[Path, ...]:
        """Return where the bundle of each goal goes: ``bundle``, or ``bundles/TARGET`` of several; a front's lie below ``bundles``."""
        bundles = self.root / "bundles"
        if len(config.goals) == 1:
            return (bundles if config.goals[0].pareto else self.bundle,)
        return tuple(bundles / goal.target for goal in config.goals)

    def write_summary(self, summary: dict[str, Json]) -> None:
        """Write ``summary.json``."""
        self._write(self.summary, summary)

    def write_teacher(self, spec: StudentSpec) -> None:
        """Keep the teacher's layer graph, which a report draws."""
        self.work.mkdir(exist_ok=True)
        self._write(self._teacher, encode(spec))

    def teacher(self) -> StudentSpec | None:
        """Return the teacher's layer graph, or None where none was kept."""
        try:
            return decode(StudentSpec, json.loads(self._teacher.read_text()))
        except (OSError, ValueError):  # a drawing less; nothing is decided by it
            return None

    def write_task(self, task: Task) -> None:
        """Keep what students are for: with the family's name it gives the space that was searched."""
        self.work.mkdir(exist_ok=True)
        self._write(self._task, encode(task))

    def task(self) -> Task | None:
        """Return what students are for, or None where it was not kept."""
        try:
            return decode(Task, json.loads(self._task.read_text()))
        except (OSError, ValueError):  # an explanation less; nothing is decided by it
            return None

    def _write(self, path: Path, document: Json) -> None:
        """Write JSON by one rename; raises StoreError where there is no room for it."""
        try:
            with written_whole(path) as begun:
                begun.write_text(json.dumps(document, indent=1) + "\n")
        except OSError as error:
            raise StoreError(f"'{path}' cannot be written: {error.strerror}", hint="free some space, or give another --out") from error


def has_bundle(bundle: Path, digest: Digest) -> bool:
    """Say whether the bundle with this manifest is in a folder."""
    manifest = bundle / MANIFEST
    return manifest.is_file() and digest_of_file(manifest) == digest


def manifest_in(bundle: Path) -> Manifest | None:
    """Return the manifest of a whole bundle, or None where there is none."""
    try:
        return read_bundle(bundle)
    except BundleError:
        return None
