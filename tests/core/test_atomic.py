import pytest

from autokd_edge.core.atomic import written_whole


def test_a_file_has_its_name_only_once_it_is_whole(tmp_path):
    path = tmp_path / "new" / "facts.json"
    with written_whole(path) as begun:
        begun.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["facts.json"]


def half_written(path):
    with written_whole(path) as begun:
        begun.write_text("ne")
        raise RuntimeError("half way")


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"):
        half_written(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["facts.json"]
