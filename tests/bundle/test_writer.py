import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fakes.bundle import ENGINE, sample_card, sample_files, write_sample_bundle
from fakes.small_disk import small_disk

from autokd_edge.bundle.checker import read_bundle
from autokd_edge.bundle.writer import write_bundle
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import BundleError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_bundle_holds_what_its_user_needs(tmp_path: Path) -> None:
    manifest = write_sample_bundle(tmp_path / "bundle")
    assert names(tmp_path / "bundle") == {
        "manifest.json",
        "engine.blob",
        "student.onnx",
        "selftest_inputs.npy",
        "selftest_logits.npy",
        "predict.py",
        "README.txt",
    }
    assert read_bundle(tmp_path / "bundle") == manifest
    assert (tmp_path / "bundle" / "engine.blob").read_bytes() == ENGINE
    assert names(tmp_path) == {"bundle", "parts"}


def test_the_quantised_graph_is_there_where_it_was_shipped(tmp_path: Path) -> None:
    files = sample_files(tmp_path)
    manifest = write_bundle(tmp_path / "bundle", dataclasses.replace(files, quantized_graph=files.float_graph), sample_card())
    assert "student.int8.onnx" in {file.name for file in manifest.files}
    assert (tmp_path / "bundle" / "student.int8.onnx").is_file()


def test_the_readme_has_three_lines_with_the_commands(tmp_path: Path) -> None:
    write_sample_bundle(tmp_path / "bundle")
    lines = (tmp_path / "bundle" / "README.txt").read_text().splitlines()
    assert len(lines) == 3
    assert "python predict.py IMAGE.pgm" in lines[1]
    assert "autokd-edge run" in lines[2]


def test_an_engine_that_was_not_measured_is_not_shipped(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="the engine must be the measured one"):
        write_bundle(tmp_path / "bundle", sample_files(tmp_path, engine=b"built again"), sample_card())
    assert not (tmp_path / "bundle").exists()


def test_an_older_bundle_is_replaced_whole(tmp_path: Path) -> None:
    files = sample_files(tmp_path)
    write_bundle(tmp_path / "bundle", dataclasses.replace(files, quantized_graph=files.float_graph), sample_card())
    manifest = write_sample_bundle(tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle") == manifest
    assert "student.int8.onnx" not in names(tmp_path / "bundle")
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is something else"):
        write_sample_bundle(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "thesis.txt").read_text() == "years of work"


def test_a_missing_part_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    files = dataclasses.replace(sample_files(tmp_path), float_graph=tmp_path / "absent.onnx")
    with pytest.raises(BundleError, match=r"cannot be written: No such file or directory at '.*absent.onnx'"):
        write_bundle(tmp_path / "bundle", files, sample_card())
    assert not [name for name in names(tmp_path) if "bundle" in name]


def test_a_full_disk_leaves_the_older_bundle(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", kibibytes=192) as disk:
        (tmp_path / "parts").mkdir()
        before = write_bundle(disk / "bundle", sample_files(tmp_path / "parts"), sample_card())
        large = os.urandom(300_000)
        files = sample_files(tmp_path / "parts", engine=large)
        with pytest.raises(BundleError, match="cannot be written: the disk is full"):
            write_bundle(disk / "bundle", files, sample_card(digest_of_bytes(large)))
        assert read_bundle(disk / "bundle") == before
        assert names(disk) == {"bundle"}


KILLED = """
    import os, sys
    from pathlib import Path
    from fakes.bundle import write_sample_bundle

    def die(event, args):
        if event == sys.argv[2] and str(args[0]).endswith(sys.argv[3]):
            os.kill(os.getpid(), 9)

    (Path(sys.argv[1]).parent / "parts").mkdir()
    sys.addaudithook(die)
    write_sample_bundle(Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("event", "path"), [("open", "manifest.json"), ("os.rename", ".bundle.unfinished")])
def test_a_writer_that_was_killed_leaves_no_bundle_and_the_next_one_succeeds(tmp_path: Path, event: str, path: str) -> None:
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    argv = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "bundle"), event, path]
    assert subprocess.run(argv, check=False, env={**os.environ, "PYTHONPATH": paths}).returncode == -9
    assert not (tmp_path / "bundle").exists()
    manifest = write_sample_bundle(tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle") == manifest
    assert names(tmp_path) == {"bundle", "parts"}
