import stat

import pytest
from fakes.bundle import write_sample_bundle
from fakes.small_disk import small_disk
from fakes.study import sample_spec

from autokd_edge.api.folder import RunFolder, has_bundle, manifest_in
from autokd_edge.core.digest import digest_of_bytes, digest_of_file
from autokd_edge.errors import StoreError


def test_a_place_that_can_be_made_is_taken_and_nothing_is_written(tmp_path):
    RunFolder(tmp_path / "runs" / "a").check()
    RunFolder(tmp_path).check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/run", "file/deep/run"])
def test_a_file_in_the_way_is_named(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"must be a folder; '{tmp_path / 'file'}' is a file"):
        RunFolder(tmp_path / below).check()


def test_the_journal_lies_in_the_folder_or_where_the_url_says(tmp_path):
    assert RunFolder(tmp_path).journal_url == f"sqlite:///{tmp_path / 'journal.db'}"
    assert RunFolder(tmp_path, store="sqlite:///elsewhere.db").journal_url == "sqlite:///elsewhere.db"


def test_one_process_at_a_time_holds_a_folder(tmp_path):
    with (
        RunFolder(tmp_path / "run").held("first"),
        pytest.raises(StoreError, match=r"another one runs 'second' in '.*run'"),
        RunFolder(tmp_path / "run").held("second"),
    ):
        raise AssertionError("both hold it")
    with RunFolder(tmp_path / "run").held("third"):
        pass


def test_another_folder_may_be_held_at_the_same_time(tmp_path):
    with RunFolder(tmp_path / "a").held("a"), RunFolder(tmp_path / "b").held("b"):
        pass


def test_a_bundle_is_known_by_the_digest_of_its_manifest(tmp_path):
    folder = RunFolder(tmp_path)
    assert manifest_in(folder.bundle) is None
    manifest = write_sample_bundle(folder.bundle)
    assert manifest_in(folder.bundle) == manifest
    assert has_bundle(folder.bundle, digest_of_file(folder.bundle / "manifest.json"))
    assert not has_bundle(folder.bundle, digest_of_bytes(b"another"))


def test_a_damaged_bundle_is_none(tmp_path):
    folder = RunFolder(tmp_path)
    write_sample_bundle(folder.bundle)
    (folder.bundle / "engine.blob").write_bytes(b"ENGINE bytes")
    assert manifest_in(folder.bundle) is None


def test_the_summary_is_written_whole_and_as_readable_as_any_file(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_summary({"a": 1})
    folder.write_summary({"a": [2, None]})
    (tmp_path / "other").touch()
    assert folder.summary.read_text() == '{\n "a": [\n  2,\n  null\n ]\n}\n'
    assert stat.S_IMODE(folder.summary.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "summary.json"]


def test_a_full_disk_leaves_the_old_summary_and_nothing_beside_it(tmp_path):
    with small_disk(tmp_path / "disk", kibibytes=16) as disk:
        folder = RunFolder(disk)
        folder.write_summary({"a": 1})
        with pytest.raises(StoreError, match="No space left"):
            folder.write_summary({"a": "x" * 50_000})
        assert folder.summary.read_text() == '{\n "a": 1\n}\n'
        assert [path.name for path in disk.iterdir()] == ["summary.json"]


def test_the_teachers_graph_comes_back_for_the_report(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.teacher() is None
    folder.write_teacher(sample_spec())
    assert RunFolder(tmp_path).teacher() == sample_spec()
    (tmp_path / "work" / "teacher.json").write_text("{")
    assert folder.teacher() is None
