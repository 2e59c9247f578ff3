"""A folder of content-addressed files.

``objects/<digest>`` holds the bytes, ``keys/<kind>/<key>`` the JSON of the artifact that the key's
recipe made. Both appear by one rename of a finished, synced file, the object first: what a crash
leaves behind is at most a file under ``unfinished/`` that nothing points to.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autokd_edge.core.artifact import Artifact, Kind
from autokd_edge.core.atomic import sync
from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import Digest, digest_of_file
from autokd_edge.errors import StoreError

_READ_ONLY = 0o444


class FolderStore:
    """Artifacts under one folder, which is made when the first is put."""

    def __init__(self, root: Path) -> None:
        """Open a folder; raises StoreError where ``root`` is something else."""
        if root.exists() and not root.is_dir():
            raise StoreError(f"an artifact store must be a folder; '{root}' is a file", hint="give another --out")
        self._root = root

    def find(self, kind: Kind, key: Digest) -> Artifact | None:
        """Return the artifact made by the recipe of this key, if it is there whole.

        An entry that cannot be read, or whose object is gone, counts as absent: it is made again.

        Raises:
            StoreError: the store cannot be read.
        """
        with _translated(self._root):
            try:
                artifact = decode(Artifact, json.loads(self._entry(kind, key).read_bytes()))
            except (FileNotFoundError, CodecError, ValueError):
                return None
            path = self._object(artifact.digest)
            return artifact if path.is_file() and path.stat().st_size == artifact.size_bytes else None

    def path(self, artifact: Artifact) -> Path:
        """Return the path of an artifact's bytes (read-only), after hashing them.

        Raises:
            StoreError: the bytes are missing or do not match their digest.
        """
        path = self._object(artifact.digest)
        what = f"{artifact.kind} {artifact.digest}"
        with _translated(self._root):
            if not path.is_file():
                raise StoreError(f"{what} must be in the store; '{path}' is missing", hint="start the same search again: it is made anew")
            if digest_of_file(path) != artifact.digest:
                raise StoreError(
                    f"{what} must match its digest; '{path}' is damaged", hint=f"delete it and start the search again: rm {path}"
                )
        return path

    def put(self, kind: Kind, key: Digest, made: Path) -> Artifact:
        """Move a finished file into the store, atomically; ``made`` is gone afterwards.

        Raises:
            StoreError: the file could not be stored (a full disk, say); ``made`` is left where it was.
        """
        with _translated(self._root):
            sync(made)
            artifact = Artifact(kind=kind, key=key, digest=digest_of_file(made), size_bytes=made.stat().st_size)
            self._keep(made, artifact.digest)
            self._write_entry(artifact)
            made.unlink(missing_ok=True)
        return artifact

    def _keep(self, made: Path, digest: Digest) -> None:
        """Give the bytes of ``made`` their place, without taking them away yet."""
        place = self._object(digest)
        if place.is_file() and digest_of_file(place) == digest:
            return
        with self._unfinished(digest) as copy:
            try:
                os.link(made, copy)
            except OSError as error:
                if error.errno not in {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}:
                    raise
                shutil.copyfile(made, copy)  # another file system, or one without hard links
            copy.chmod(_READ_ONLY)
            sync(copy)
            _place(copy, place)

    def _write_entry(self, artifact: Artifact) -> None:
        entry = self._entry(artifact.kind, artifact.key)
        with self._unfinished(artifact.key) as copy:
            copy.write_text(json.dumps(encode(artifact)))
            sync(copy)
            _place(copy, entry)

    @contextmanager
    def _unfinished(self, name: str) -> Iterator[Path]:
        folder = self._root / "unfinished"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.{os.getpid()}.{threading.get_ident()}"
        path.unlink(missing_ok=True)  # of an earlier process with these numbers
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _object(self, digest: Digest) -> Path:
        return self._root / "objects" / digest

    def _entry(self, kind: Kind, key: Digest) -> Path:
        return self._root / "keys" / kind / key


def _place(copy: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    copy.replace(place)
    sync(place.parent)


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreError(
                f"artifact store '{root}' is on a disk that is full", hint="free some space and start the same command again"
            ) from error
        where = f" at '{error.filename}'" if error.filename else ""
        raise StoreError(
            f"artifact store '{root}' cannot be used: {error.strerror}{where}", hint="check its permissions, or give another --out"
        ) from error
