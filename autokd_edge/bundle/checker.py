"""Check a bundle before anything of it runs: whole, unchanged, for this machine, with its runtime here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from pathlib import Path

from autokd_edge.bundle.manifest import COPY, MANIFEST, FileEntry, Manifest, Runtime, manifest_from_bytes
from autokd_edge.bundle.unbuilt import SCRIPT
from autokd_edge.core.digest import digest_of_file
from autokd_edge.errors import BundleError


def check_bundle(folder: Path, *, machine: str | None = None, version: str | None = None) -> Manifest:
    """Return the manifest of a bundle that is whole and can run on a machine.

    Args:
        folder: the bundle.
        machine: architecture to run on, as `uname -m` prints it; by default this machine's.
        version: of the runtime there; by default the one that is installed here.

    Raises:
        BundleError: a file is missing, extra or changed, or the machine or the runtime is another.
    """
    manifest = read_bundle(folder)
    if manifest.card.predicted:
        raise BundleError(
            f"a bundle must hold an engine to run; that of '{folder}' was never built: its readings are predicted",
            hint=f"sh {folder / SCRIPT} ssh://user@host builds and measures it on a board",
        )
    _check_machine(manifest, platform.machine() if machine is None else machine)
    runtime = manifest.card.runtime
    if runtime is not None:
        _check_version(runtime, _installed(runtime) if version is None else version)
    return manifest


def read_bundle(folder: Path) -> Manifest:
    """Return the manifest of a bundle that is whole, wherever it is to run.

    Raises:
        BundleError: there is no bundle, or a file is missing, extra or changed.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        hint = "give the folder that `autokd-edge search` wrote"
        raise BundleError(f"a bundle must be a folder with a {MANIFEST}; '{folder}' has none", hint=hint) from error
    manifest = manifest_from_bytes(data, bundle=str(folder))
    entries = (manifest.engine, *manifest.files)
    extra = sorted(present - {entry.name for entry in entries} - {MANIFEST})
    if extra:
        raise BundleError(f"bundle '{folder}' must hold what its manifest lists; '{extra[0]}' is extra", hint=f"remove {folder / extra[0]}")
    for entry in entries:
        _check_file(folder / entry.name, entry)
    return manifest


def _check_file(path: Path, entry: FileEntry) -> None:
    if not path.is_file():
        raise BundleError(f"bundle '{path.parent}' must hold what its manifest lists; '{entry.name}' is missing", hint=COPY)
    size = path.stat().st_size
    if size != entry.size_bytes:
        raise BundleError(f"'{entry.name}' of bundle '{path.parent}' must have {entry.size_bytes} bytes; it has {size}", hint=COPY)
    digest = digest_of_file(path)
    if digest != entry.sha256:
        raise BundleError(
            f"'{entry.name}' of bundle '{path.parent}' was changed: its sha256 must be {entry.sha256}; it is {digest}", hint=COPY
        )


def _check_machine(manifest: Manifest, machine: str) -> None:
    wanted = manifest.card.fingerprint.machine
    if machine != wanted:
        raise BundleError(
            f"this engine must run on {wanted}, as target '{manifest.card.target.name}' does; the machine is {machine}",
            hint="copy the bundle to such a machine, or search again with --target for this one",
        )


def _installed(runtime: Runtime) -> str:
    hint = _install(runtime)
    if importlib.util.find_spec(runtime.package) is None:
        raise BundleError(f"this engine needs {runtime.package} {runtime.version}, which is not installed", hint=hint)
    try:
        return importlib.metadata.version(runtime.package)
    except importlib.metadata.PackageNotFoundError:
        raise BundleError(
            f"this engine needs {runtime.package} {runtime.version}; the one here does not say its version", hint=hint
        ) from None


def _check_version(runtime: Runtime, version: str) -> None:
    if version != runtime.version:
        raise BundleError(f"this engine needs {runtime.package} {runtime.version}; {version} is installed", hint=_install(runtime))


def _install(runtime: Runtime) -> str:
    return f"pip install {runtime.package}=={runtime.version}"
