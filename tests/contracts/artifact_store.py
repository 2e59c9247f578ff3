"""What every artifact store must do; a test class of an adapter inherits this and says how to open one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import StoreError
from autokd_edge.ports import ArtifactStore

KEY = digest_of_bytes(b"recipe")
OTHER = digest_of_bytes(b"another recipe")


class ArtifactStoreContract(ABC):
    """Subclass it as ``Test...`` and give ``open``: a store on the same storage at each call of one test."""

    @abstractmethod
    def open(self) -> ArtifactStore:
        """Open a store; called again it sees what the first one put."""

    def test_nothing_is_found_before_it_was_put(self) -> None:
        assert self.open().find("graph", KEY) is None

    def test_what_was_put_is_found_by_its_key_with_its_bytes(self, tmp_path: Path) -> None:
        artifact = self.open().put("graph", KEY, made(tmp_path, b"bytes"))
        assert (artifact.kind, artifact.key, artifact.digest, artifact.size_bytes) == ("graph", KEY, digest_of_bytes(b"bytes"), 5)
        store = self.open()
        assert store.find("graph", KEY) == artifact
        assert store.path(artifact).read_bytes() == b"bytes"

    def test_the_file_is_moved(self, tmp_path: Path) -> None:
        file = made(tmp_path, b"bytes")
        self.open().put("graph", KEY, file)
        assert not file.exists()

    def test_kinds_and_keys_are_apart(self, tmp_path: Path) -> None:
        store = self.open()
        store.put("graph", KEY, made(tmp_path, b"bytes"))
        assert store.find("engine", KEY) is None
        assert store.find("graph", OTHER) is None

    def test_equal_bytes_of_two_recipes_are_both_found(self, tmp_path: Path) -> None:
        store = self.open()
        first = store.put("graph", KEY, made(tmp_path, b"bytes"))
        second = store.put("graph", OTHER, made(tmp_path, b"bytes"))
        assert first.digest == second.digest
        assert store.path(second).read_bytes() == store.path(first).read_bytes() == b"bytes"

    def test_the_last_file_of_a_recipe_is_the_one_that_is_found(self, tmp_path: Path) -> None:
        store = self.open()
        first = store.put("engine", KEY, made(tmp_path, b"one build"))
        second = store.put("engine", KEY, made(tmp_path, b"another build"))
        assert store.find("engine", KEY) == second
        assert store.path(first).read_bytes() == b"one build"

    def test_an_artifact_that_was_never_put_has_no_path(self, tmp_path: Path) -> None:
        store = self.open()
        artifact = store.put("graph", KEY, made(tmp_path, b"bytes"))
        gone = type(artifact)(kind="graph", key=KEY, digest=digest_of_bytes(b"never put"), size_bytes=9)
        with pytest.raises(StoreError, match="is missing"):
            store.path(gone)

    def test_a_file_that_does_not_exist_cannot_be_put(self, tmp_path: Path) -> None:
        store = self.open()
        with pytest.raises(StoreError):
            store.put("graph", KEY, tmp_path / "nothing")
        assert store.find("graph", KEY) is None


def made(folder: Path, data: bytes) -> Path:
    """Write a finished file, as a builder leaves it."""
    path = folder / "made"
    path.write_bytes(data)
    return path
