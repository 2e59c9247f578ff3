"""The command line as a user types it: wrong input is one line and status 2, and leaves nothing behind."""

import gzip
import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from fakes.bundle import write_sample_bundle
from fakes.command import Done, held_by, run_apart, run_here
from fakes.plugin import install_plugin, write_target
from fakes.small_disk import small_disk
from fakes.study import sample_events

from autokd_edge.store.journal import SQLJournal, sqlite_url

DIGITS = ("search", "--data", "digits", "--teacher", "example:digits")
LIMIT = ("--max-latency", "5x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to stand in."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def refused(*argv: object, folder: Path, path: Path | None = None) -> str:
    """Run a command that must be refused; return its one line of error."""
    before = held_by(folder)
    done = run_here(*argv, folder=folder, path=path)
    assert done.status == 2, done
    assert done.out == ""
    assert re.fullmatch(r"autokd-edge: [^\n]+\n", done.err), done.err
    assert held_by(folder) == before
    return done.err


class TestUsage:
    def test_without_a_command_the_help_is_shown_and_the_status_is_that_of_wrong_input(self, folder):
        done = run_here(folder=folder)
        assert done.status == 2
        assert "search" in done.out
        assert done.err == ""

    def test_help_lists_every_option_of_a_search(self, folder):
        done = run_here("search", "--help", folder=folder)
        assert (done.status, done.err) == (0, "")
        options = "--target --data --teacher --max-latency --max-memory --max-drop --budget --seed --study --store --out --json --policy"
        assert all(option in done.out for option in options.split())

    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            (("serch",), "No such command 'serch'"),
            ((*DIGITS, "--max-latncy", "3ms"), "No such option: --max-latncy"),
            (("search", "--data", "digits"), "Missing option '--teacher'"),
            (("search", "--teacher", "example:digits"), "Missing option '--data'"),
            ((*DIGITS, "--max-latency"), "Option '--max-latency' requires an argument"),
            ((*DIGITS, "--seed", "one"), "Invalid value for '--seed'"),
            ((*DIGITS, "--search-steps", "1.5"), "Invalid value for '--search-steps'"),
            ((*DIGITS, "more"), "unexpected extra argument"),
            (("run",), "Missing argument 'BUNDLE'"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_command_that_is_mistyped_is_refused_with_the_way_to_the_help(self, folder, argv, said):
        line = refused(*argv, folder=folder)
        assert said.lower() in line.lower()
        assert re.search(r"Hint: autokd-edge.* --help$", line.strip())


class TestWrongInput:
    @pytest.mark.parametrize("text", ["-3ms", "3", "abc", "p0:3ms", "0x", "p99:", ""])
    def test_a_latency_limit_that_means_nothing(self, folder, text):
        for argv in (("--max-latency", text), (f"--max-latency={text}",)):
            line = refused(*DIGITS, *argv, folder=folder)
            assert re.search(r"latency limit must be a positive number|percentile must be p1 to p99.9", line)
            assert "Hint: --max-latency" in line

    @pytest.mark.parametrize(
        ("option", "text", "said"),
        [
            ("--max-memory", "-20MB", "memory limit must be a positive number"),
            ("--max-memory", "20", "memory limit must be a positive number"),
            ("--max-drop", "-1", "accuracy drop must be 0 to 100 points"),
            ("--budget", "0", "budget must be a positive number"),
            ("--budget", "-8min", "budget must be a positive number"),
            ("--seed", "-1", "seed must be 0 to 4294967295; got -1"),
            ("--search-steps", "0", "search-steps must be at least 1"),
            ("--final-steps", "-2", "final-steps must be at least 1"),
            ("--qat-steps", "-1", "qat-steps must be at least 0, which tunes nothing; got -1. Hint: --qat-steps 400"),
            ("--study", "../a", "study name must be"),
            ("--study", "", "study name must be"),
            ("--family", "nagoo", "got 'nagoo'. Hint: --family nago"),
            ("--policy", "edge", "got 'edge'. Hint: --policy edge-bo"),
            ("--target", "hots", "there is no target 'hots'; did you mean host. Hint: autokd-edge targets"),
            ("--target", "none.toml", "target descriptor 'none.toml' is not a file"),
            ("--target", "intel-n100", "target 'intel-n100' must have 4 cores"),
            ("--data", "cifar", "hf:NAME[:CONFIG], cifar10:PATH, cifar100:PATH, npz:FILE; got 'cifar'"),
            ("--data", "npz:none.npz", "data file must exist; 'none.npz' does not"),
            ("--data", "imagefolder:none", "an image folder must be a folder; 'none' is none"),
            ("--data", "cifar10:none", "CIFAR must be a folder or a .tar.gz; 'none' is neither"),
            ("--image-size", "4", "image size must be 8 to 512 pixels; got 4"),
            ("--augment", "blur", "augmentation must be none or some of crop, flip, cutout, erase, mixup; got 'blur'"),
            ("--data", "fashion-mnist:none", "must lie in 'none'; it has no train-images-idx3-ubyte.gz"),
            ("--teacher", "example:cifar", "example teacher must be one of example:digits, example:fashion-mnist"),
            ("--teacher", "teacher.pt", "must not be a pickle"),
            ("--teacher", "none.safetensors", "teacher file must exist"),
            ("--teacher", "example:fashion-mnist", "teacher and data must have the same classes"),
            ("--store", "nonsense", "store must be a URL; got 'nonsense'"),
            (
                "--store",
                "mysql://user:secret@host/d",
                "store URL must begin with sqlite:/// or postgresql://; got 'mysql://user:***@host/d'",
            ),
            ("--store", "sqlite:///:memory:", "an SQLite store must name a file"),
            ("--store", "sqlite:///.", "an SQLite store must be a file"),
        ],
    )
    def test_an_option_that_cannot_be_used(self, folder, option, text, said):
        assert said in refused(*DIGITS, option, text, folder=folder)

    def test_a_broken_target_descriptor_names_file_and_field(self, folder):
        target = write_target(folder / "mine.toml", backend_name="openvino")
        text = target.read_text()
        for broken, said in ((text.replace("threads = 1\n", ""), "field 'threads': is missing"), (text + "[[", "readable TOML file")):
            target.write_text(broken)
            line = refused(*DIGITS, "--target", "mine.toml", folder=folder)
            assert "'mine.toml'" in line
            assert said in line

    def test_tuning_for_a_target_that_quantises_nothing(self, folder):
        target = write_target(folder / "float.toml", backend_name="openvino")
        target.write_text(target.read_text().replace('[[variants]]\nbackend = "openvino"\nprecision = "int8"\n\n', ""))
        line = refused(*DIGITS, "--target", "float.toml", "--qat-steps", "9", folder=folder)
        assert "qat-steps tunes int8 engines; target 'fake-host' has openvino/fp32 alone. Hint: leave --qat-steps out" in line

    def test_a_target_of_an_unknown_backend(self, folder):
        write_target(folder / "mine.toml", backend_name="ncnn")
        assert "must be one of openvino, openvino-gpu, openvino-npu, " in refused(*DIGITS, "--target", "mine.toml", folder=folder)

    def test_a_target_without_a_variant_to_screen_with(self, folder):
        target = write_target(folder / "mine.toml", backend_name="openvino")
        target.write_text(target.read_text().replace('precision = "fp32"', 'precision = "fp16"'))
        assert "must have a variant in fp32 to screen students with" in refused(*DIGITS, "--target", "mine.toml", folder=folder)

    def test_corrupt_data_files(self, folder):
        for part in ("train", "t10k"):
            for kind in ("images-idx3", "labels-idx1"):
                (folder / f"{part}-{kind}-ubyte.gz").write_bytes(b"no images")
        fashion = ("search", "--data", "fashion-mnist:.", "--teacher", "example:fashion-mnist")
        assert "'train-images-idx3-ubyte.gz' is not a whole gzip file" in refused(*fashion, folder=folder)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(11)))
        assert "must be an IDX file" in refused(*fashion, folder=folder)

    def test_a_damaged_teacher(self, folder):
        (folder / "t.safetensors").write_bytes(b"weights")
        line = refused("search", "--data", "digits", "--teacher", "t.safetensors", folder=folder)
        assert "not a readable safetensors file" in line

    def test_an_out_that_is_a_file(self, folder):
        (folder / "out").touch()
        for out in ("out", "out/run"):
            assert "the folder of a run must be a folder" in refused(*DIGITS, "--out", out, folder=folder)

    def test_a_store_made_by_another_schema_version(self, folder):
        journal = SQLJournal(sqlite_url(folder / "journal.db"))
        journal.append("a", sample_events(probes=2, taught=1)[0])
        with sqlite3.connect(folder / "journal.db") as connection:
            connection.execute("update autokd_schema set version = 99")
        connection.close()
        for argv in (("--store", "sqlite:///journal.db"), ("--out", ".")):
            line = refused(*DIGITS, *argv, folder=folder)
            assert "schema version of a journal must be 1; got 99" in line

    def test_a_store_that_is_no_database(self, folder):
        (folder / "journal.db").write_bytes(b"x" * 5000)
        assert "is not an SQLite database" in refused(*DIGITS, "--out", ".", folder=folder)

    def test_a_study_of_this_name_with_another_configuration(self, folder):
        SQLJournal(sqlite_url(folder / "journal.db")).append("mine", sample_events(probes=2, taught=1)[0])
        line = refused(*DIGITS, "--study", "mine", "--store", "sqlite:///journal.db", folder=folder)
        assert "study 'mine' must go on as it began; target_digest was" in line

    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            (("report",), "a report needs the folder of a run; 'runs' has none"),
            (("report", "none"), "'none' has no journal.db"),
            (("report", "none", "--store", "sqlite:///none.db"), "a journal of 0 studies needs a name"),
            (("run", "none"), "a bundle must be a folder with a manifest.json"),
            (("run", "none", "--protocol", "fast"), "there is no protocol 'fast'"),
            (("targets", "hots"), "there is no target 'hots'; did you mean host"),
        ],
        ids=["no run", "no folder", "no journal", "no bundle", "no protocol", "no target"],
    )
    def test_a_command_about_what_is_not_there(self, folder, argv, said):
        assert said in refused(*argv, folder=folder)

    def test_a_bundle_with_a_changed_byte(self, folder):
        write_sample_bundle(folder / "bundle")
        (folder / "bundle" / "engine.blob").write_bytes(b"engine bytez")
        assert "'engine.blob' of bundle 'bundle' was changed" in refused("run", "bundle", folder=folder)

    def test_the_console_script_refuses_in_the_same_way(self, folder):
        done = run_apart(*DIGITS, "--max-latency=-3ms", folder=folder)
        assert (done.status, done.out) == (2, "")
        assert re.fullmatch(r"autokd-edge: latency limit must be a positive number [^\n]+\n", done.err)
        assert held_by(folder) == {}


class TestTargets:
    def test_targets_are_listed_for_people_and_for_programs(self, folder):
        done = run_here("targets", folder=folder)
        assert (done.status, done.err) == (0, "")
        assert "intel-n100" in done.out
        document = json.loads(run_here("targets", "--json", folder=folder).out)
        assert "openvino/int8" in document["host"]["variants"]

    def test_one_target_is_shown_with_the_sources_of_its_facts(self, folder):
        document = json.loads(run_here("targets", "intel-n100", "--json", folder=folder).out)
        assert document["cores"] == 4
        assert document["sources"]["cores"]
        assert "cores" in run_here("targets", "intel-n100", folder=folder).out


class TestDoctor:
    def test_what_mends_it_is_below_the_table_in_whole_lines(self, folder):
        done = run_here("doctor", "--target", "jetson-nano", folder=folder)
        assert (done.status, done.err) == (1, "")
        _, _, mends = done.out.partition("What mends it:\n")
        assert "\n  runtime tensorrt: --device ssh://user@host leads to a Jetson\n" in mends
        assert mends.endswith("a search cannot run there\n")


class TestReport:
    def test_a_study_that_only_began_is_told(self, folder):
        SQLJournal(sqlite_url(folder / "journal.db")).append("mine", sample_events(probes=2, taught=1)[0])
        done = run_here("report", ".", folder=folder)
        assert (done.status, done.err) == (0, "")
        assert (folder / "report.html").stat().st_size > 10_000
        document = json.loads(run_here("report", ".", "--json", folder=folder).out)
        assert (document["study"], document["teacher"], document["best"]) == ("mine", None, None)

    def test_a_journal_elsewhere_gets_its_page_in_the_folder_named(self, folder):
        journal = SQLJournal(sqlite_url(folder / "journal.db"))
        for event in sample_events(probes=4, taught=1):
            journal.append("mine", event)
        done = run_here("report", "new", "--store", "sqlite:///journal.db", folder=folder)
        assert (done.status, done.err) == (0, "")
        assert (folder / "new" / "report.html").is_file()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the fake backend."""
    return install_plugin(tmp_path_factory.mktemp("site") / "packages")


@pytest.mark.slow
@pytest.mark.parametrize("kibibytes", [4, 200, 4_000])
def test_a_full_disk_ends_a_search_with_one_line_of_error_and_a_journal_that_can_be_read(tmp_path, folder, site, kibibytes):
    write_target(folder / "fake.toml")
    with small_disk(tmp_path / "disk", kibibytes=kibibytes) as disk:
        done = run_apart(*DIGITS, *LIMIT, "--target", "fake.toml", "--policy", "random", "--out", disk, folder=folder, path=site)
        assert done.status == 2, done
        assert re.search(r"full|No space left", done.last), done.err
        assert "Hint: " in done.last
        assert "Traceback" not in done.err
        errors = [line for line in done.err.splitlines() if line.startswith("autokd-edge: ")]
        assert errors == [done.last]
        if (disk / "journal.db").is_file() and SQLJournal(sqlite_url(disk / "journal.db")).studies():
            assert run_here("report", "told", "--store", sqlite_url(disk / "journal.db"), folder=folder).status == 0


def test_a_search_that_cannot_read_its_teacher_is_a_failure_and_no_wrong_input(folder, site, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(site, broken)
    (broken / "fake_dead_board.py").write_text(
        "from fakes.backend import FakeBoard, fake_backend\n"
        "from autokd_edge.errors import MeasureError\n"
        "import dataclasses\n"
        "class DeadBoard(FakeBoard):\n"
        "    def infer(self, engine, inputs, *, variant, target, out):\n"
        "        raise MeasureError('the board does not answer', hint='plug it in')\n"
        "def backend(folder):\n"
        "    return dataclasses.replace(fake_backend(), board=DeadBoard())\n"
    )
    (broken / "fake-1.0.dist-info" / "entry_points.txt").write_text("[autokd_edge.backends]\ndead = fake_dead_board:backend\n")
    write_target(folder / "dead.toml", backend_name="dead")
    done: Done = run_here(*DIGITS, *LIMIT, "--target", "dead.toml", folder=folder, path=broken)
    assert done.status == 1
    assert done.last == "autokd-edge: the board does not answer. Hint: plug it in"
