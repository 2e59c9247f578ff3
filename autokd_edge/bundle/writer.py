"""Write a bundle: a finished folder appears by one rename, with its manifest written last."""

from __future__ import annotations

import errno
import importlib.metadata
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from autokd_edge.bundle.manifest import MANIFEST, SCHEMA_VERSION, Card, FileEntry, Manifest, manifest_bytes, manifest_from_bytes
from autokd_edge.bundle.unbuilt import SCRIPT, readme_text, write_script
from autokd_edge.core.atomic import sync
from autokd_edge.core.digest import digest_of_file
from autokd_edge.errors import BundleError

FLOAT_GRAPH = "student.onnx"
QUANTIZED_GRAPH = "student.int8.onnx"
SELFTEST_INPUTS = "selftest_inputs.npy"
SELFTEST_LOGITS = "selftest_logits.npy"
PREDICT = "predict.py"
README = "README.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFiles:
    """Where the parts of a bundle lie; they are copied."""

    engine: Path
    engine_name: str  # in the bundle, "engine.blob"
    float_graph: Path
    quantized_graph: Path | None
    selftest_inputs: Path  # .npy, float32 (n, c, h, w), preprocessed
    selftest_logits: Path  # .npy, float32 (n, classes), as the engine gave them
    more: Mapping[str, Path] = field(default_factory=dict)  # by name: what goes beside an engine that is a program of its own


def write_bundle(folder: Path, files: BundleFiles, card: Card) -> Manifest:
    """Write a bundle to ``folder``; an older bundle there is replaced, anything else is left alone.

    Raises:
        BundleError: the folder holds something else, cannot be written, or the engine is not the measured one.
    """
    check_place(folder)
    unfinished = folder.parent / f".{folder.name}.unfinished"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
        unfinished.mkdir(parents=True)
        manifest = _fill(unfinished, files, card)
        _replace(folder, unfinished)
    except OSError as error:
        why = "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else f"{error.strerror} at '{error.filename}'"
        hint = "free some space, or give another --out"
        raise BundleError(f"bundle '{folder}' cannot be written: {why}", hint=hint) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


def check_place(folder: Path) -> None:
    """Refuse a folder that a bundle may not be written to; raises BundleError."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        manifest_from_bytes((folder / MANIFEST).read_bytes(), bundle=str(folder))
    except (OSError, BundleError):
        raise BundleError(
            f"a bundle must go into a new folder or replace a bundle; '{folder}' is something else", hint="give another --out"
        ) from None


def _fill(folder: Path, files: BundleFiles, card: Card) -> Manifest:
    sources = {
        FLOAT_GRAPH: files.float_graph,
        QUANTIZED_GRAPH: files.quantized_graph,
        SELFTEST_INPUTS: files.selftest_inputs,
        SELFTEST_LOGITS: files.selftest_logits,
        PREDICT: None if card.runtime is None or card.predicted else Path(__file__).with_name(PREDICT),
        **files.more,
    }
    engine = _add(folder, files.engine_name, files.engine)
    if card.runtime is None:
        (folder / files.engine_name).chmod(0o755)
    entries = [_add(folder, name, source) for name, source in sources.items() if source is not None]
    if card.predicted:
        write_script(folder / SCRIPT, card, quantized=files.quantized_graph is not None)
        entries.append(_entry(folder / SCRIPT))
    (folder / README).write_text(_readme(card, files.engine_name))
    entries.append(_entry(folder / README))
    try:
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            package_version=importlib.metadata.version("autokd-edge"),
            engine=engine,
            files=tuple(entries),
            card=card,
        )
    except ValueError as error:
        raise BundleError(f"bundle cannot be written: {error}", hint="run the same command again with another --out") from error
    (folder / MANIFEST).write_bytes(manifest_bytes(manifest))
    sync(folder / MANIFEST)
    sync(folder)
    return manifest


def _add(folder: Path, name: str, source: Path) -> FileEntry:
    shutil.copyfile(source, folder / name)
    return _entry(folder / name)


def _entry(path: Path) -> FileEntry:
    sync(path)
    return FileEntry(name=path.name, sha256=digest_of_file(path), size_bytes=path.stat().st_size)


def _replace(folder: Path, finished: Path) -> None:
    """Put the finished folder in place; an older bundle steps aside first, because a rename needs an empty place."""
    aside = folder.parent / f".{folder.name}.replaced"
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    finished.rename(folder)
    sync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _readme(card: Card, engine: str) -> str:
    if card.predicted:
        return readme_text(card)
    built = f"{engine} classifies images of {card.data}; it was built for target {card.target.name} as {card.variant} and needs"
    check = "Check that nothing changed and that it computes what it did when it was built: autokd-edge run FOLDER\n"
    if card.runtime is None:
        return (
            f"{built} nothing but Linux on {card.target.architecture}.\n"
            "On the board: make run (the self-test), make run IMAGE=file.pgm (or .ppm; compiles classify.c with the board's cc)\n"
            f"In your own program: autokd_student.h and libautokd_student.a; classify.c is the example.\n{check}"
        )
    needs = f"{card.runtime.package}=={card.runtime.version}"
    return (
        f"{built} {needs}.\n"
        f"Classify: pip install numpy {needs}; python {PREDICT} IMAGE.pgm (or .ppm, .npy; other formats with Pillow)\n{check}"
    )
