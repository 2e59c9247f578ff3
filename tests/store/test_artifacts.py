import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.artifact_store import KEY, OTHER, ArtifactStoreContract, made
from fakes.small_disk import small_disk

from autokd_edge.errors import StoreError
from autokd_edge.store.artifacts import FolderStore


class TestFolderStore(ArtifactStoreContract):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "store"

    def open(self) -> FolderStore:
        return FolderStore(self.root)


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def test_opening_and_looking_writes_nothing(tmp_path: Path) -> None:
    assert FolderStore(tmp_path / "store").find("graph", KEY) is None
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_its_objects_and_its_keys(tmp_path: Path) -> None:
    root = tmp_path / "store"
    artifact = FolderStore(root).put("graph", KEY, made(tmp_path, b"bytes"))
    assert files(root) == {f"objects/{artifact.digest}", f"keys/graph/{KEY}"}


def test_stored_bytes_are_read_only(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    path = store.path(store.put("graph", KEY, made(tmp_path, b"bytes")))
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_changed_byte_is_refused_with_the_file_and_the_way_out(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    artifact = store.put("graph", KEY, made(tmp_path, b"bytes"))
    path = store.path(artifact)
    path.chmod(0o644)
    path.write_bytes(b"bytez")
    with pytest.raises(StoreError, match="is damaged") as raised:
        store.path(artifact)
    assert str(path) in raised.value.hint


def test_a_damaged_object_is_healed_by_putting_it_again(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    artifact = store.put("graph", KEY, made(tmp_path, b"bytes"))
    path = store.path(artifact)
    path.chmod(0o644)
    path.write_bytes(b"bytez")
    assert store.path(store.put("graph", KEY, made(tmp_path, b"bytes"))).read_bytes() == b"bytes"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"kind": "graph"}', b"\xff"])
def test_an_entry_that_cannot_be_read_counts_as_absent(tmp_path: Path, damage: bytes) -> None:
    store = FolderStore(tmp_path / "store")
    store.put("graph", KEY, made(tmp_path, b"bytes"))
    (tmp_path / "store" / "keys" / "graph" / KEY).chmod(0o644)
    (tmp_path / "store" / "keys" / "graph" / KEY).write_bytes(damage)
    assert store.find("graph", KEY) is None


def test_an_object_that_is_gone_or_cut_counts_as_absent(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    path = store.path(store.put("graph", KEY, made(tmp_path, b"bytes")))
    path.chmod(0o644)
    path.write_bytes(b"byt")
    assert store.find("graph", KEY) is None
    path.unlink()
    assert store.find("graph", KEY) is None


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="must be a folder"):
        FolderStore(made(tmp_path, b"bytes"))


def test_a_place_that_cannot_be_written_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    file = made(tmp_path, b"bytes")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "unfinished").write_bytes(b"")  # not a folder: holds for root, whom permissions do not stop
    with pytest.raises(StoreError, match="cannot be used"):
        FolderStore(tmp_path / "store").put("graph", KEY, file)
    assert file.read_bytes() == b"bytes"


KILLED = """
    import os, sys
    from pathlib import Path
    from autokd_edge.store.artifacts import FolderStore

    def die(event, args):
        if event == "os.rename" and int(sys.argv[3]) == (count := die.count):
            os.kill(os.getpid(), 9)
        die.count += event == "os.rename"

    die.count = 0
    sys.addaudithook(die)
    FolderStore(Path(sys.argv[1])).put("graph", sys.argv[4], Path(sys.argv[2]))
"""


@pytest.mark.parametrize("rename", [0, 1])
def test_a_put_that_was_killed_before_either_rename_is_invisible(tmp_path: Path, rename: int) -> None:
    root, file = tmp_path / "store", made(tmp_path, b"bytes")
    argv = [sys.executable, "-c", textwrap.dedent(KILLED), str(root), str(file), str(rename), KEY]
    assert subprocess.run(argv, check=False).returncode == -9
    store = FolderStore(root)
    assert store.find("graph", KEY) is None
    assert file.exists()
    artifact = store.put("graph", KEY, file)
    assert store.path(artifact).read_bytes() == b"bytes"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", kibibytes=64) as folder:
        yield folder


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path: Path, disk: Path) -> None:
    store = FolderStore(disk / "store")
    kept = store.put("graph", OTHER, made(tmp_path, b"small"))
    big = made(tmp_path, os.urandom(100_000))
    with pytest.raises(StoreError, match="on a disk that is full"):
        store.put("graph", KEY, big)
    assert store.find("graph", KEY) is None
    assert store.path(kept).read_bytes() == b"small"
    assert files(disk / "store") == {f"objects/{kept.digest}", f"keys/graph/{OTHER}"}
    assert big.stat().st_size == 100_000


def test_a_file_from_another_file_system_is_stored(tmp_path: Path, disk: Path) -> None:
    store = FolderStore(disk / "store")
    assert store.path(store.put("graph", KEY, made(tmp_path, b"bytes"))).read_bytes() == b"bytes"
