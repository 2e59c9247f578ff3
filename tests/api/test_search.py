"""Whole searches on real digits with the fake backend: to the end, killed and continued, and refused."""

import dataclasses
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.command import held_by, run_apart, run_here, start
from pipeline.world import timeless

import autokd_edge
from autokd_edge.api.bundles import run_bundle
from autokd_edge.api.folder import RunFolder
from autokd_edge.api.options import SearchOptions
from autokd_edge.api.search import SearchJob
from autokd_edge.bundle.checker import read_bundle
from autokd_edge.core.digest import digest_of_file
from autokd_edge.core.events import Event, Graded, Opened, Probed, Referenced, Shipped, Taught
from autokd_edge.core.pupil import Failed, Grade, Screened
from autokd_edge.core.study import fold
from autokd_edge.errors import BundleError, LimitError, StoreError
from autokd_edge.search.verdicts import best_grade
from autokd_edge.store.journal import SQLJournal
from autokd_edge.teaching.data import data_source

pytestmark = pytest.mark.slow
WANTED = {
    "data": "digits",
    "teacher": "example:digits",
    "target": "fake.toml",
    "max_latency": "5x",
    "budget": "2",
    "search_steps": 4,
    "final_steps": 8,
    "final_members": 2,
    "policy": "random",
    "study": "mine",
}


def argv(**changes: str) -> list[str]:
    """Write the command, some of its options changed or added."""
    return ["search", *(str(word) for name, value in (WANTED | changes).items() for word in (f"--{name.replace('_', '-')}", value))]


ARGV = argv()


@pytest.fixture(scope="module")
def whole(here) -> RunFolder:
    """A search by the Python function that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.syspath_prepend(here / "site")
        study = autokd_edge.search(**WANTED, out="whole")
    folder = RunFolder(here / "whole")
    assert dataclasses.replace(study, elapsed_s=0) == dataclasses.replace(fold(events_of(folder)), elapsed_s=0)
    return folder


def events_of(folder: RunFolder) -> list[Event]:
    return list(SQLJournal(folder.journal_url).read("mine"))


class TestAWholeSearch:
    def test_it_probes_teaches_grades_and_ships(self, whole):
        events = events_of(whole)
        kinds = [type(event) for event in events]
        assert kinds[:2] == [Opened, Referenced]
        assert kinds[-3:] == [Graded, Graded, Shipped]
        assert kinds.count(Probed) == 32 + 8 + 1
        assert [event.steps for event in events if isinstance(event, Taught)] in (
            [4, 4, 8],
            [4, 4, 8, 8],
        )  # the second member may not keep the limit
        study = fold(events)
        refused = [probed.outcome for probed in study.probes if isinstance(probed.outcome, Failed)]
        assert {(failed.stage, failed.error) for failed in refused} <= {("lower", "LoweringError")}  # too many layers to be screened
        assert len(refused) < len(study.probes) / 2

    def test_only_members_that_fit_were_taught(self, whole):
        study = fold(events_of(whole))
        fitting = {probed.member for probed in study.probes if study.fits(probed)}
        assert {taught.pupil.member for taught in study.teachings} <= fitting
        assert len(fitting) < len(study.probes)  # the gate had something to refuse

    def test_the_engine_that_was_measured_and_graded_is_the_one_in_the_bundle(self, whole):
        study = fold(events_of(whole))
        graded = best_grade(study)
        manifest = read_bundle(whole.bundle)
        assert manifest.engine.sha256 == graded.outcome.engine == graded.outcome.measurement.engine
        assert study.shipped.bundle == digest_of_file(whole.bundle / "manifest.json")
        assert (study.shipped.pupil, study.shipped.variant) == (graded.pupil, graded.variant)
        assert {m.what for m in manifest.card.measurements} == {"teacher", "student engine"}
        assert graded.outcome.measurement in [m.measurement for m in manifest.card.measurements]

    def test_the_manifest_says_how_images_are_prepared_and_what_the_answers_mean(self, whole):
        card, data = read_bundle(whole.bundle).card, data_source("digits").teaching()
        assert (card.input.preprocessing.mean, card.input.preprocessing.std) == (data.mean, data.std)
        assert card.input.shape == (1, 1, 8, 8)
        assert card.labels == data.classes

    def test_accuracies_of_three_networks_on_two_splits_say_what_computed_them(self, whole):
        accuracies = read_bundle(whole.bundle).card.accuracies
        assert [(a.what, a.split) for a in accuracies] == [
            (what, split) for what in ("teacher", "student float", "student engine") for split in ("validation", "test")
        ]
        teacher = [a.percent for a in accuracies if a.what == "teacher"]
        assert teacher == pytest.approx([96.667, 98.056], abs=0.001)  # as its log says
        assert {a.computed_by for a in accuracies} <= {"fake fp32", "fake int8"}

    def test_test_accuracy_is_that_of_the_shipped_engine_itself(self, whole):
        from fakes.graphs import logits_by_onnxruntime

        manifest = read_bundle(whole.bundle)
        test = data_source("digits").test()
        preprocessing = manifest.card.input.preprocessing
        images = ((test.images / 255 - preprocessing.mean[0]) / preprocessing.std[0]).astype(np.float32)
        engine = (whole.bundle / manifest.engine.name).read_bytes().partition(b"\n")[2]
        right = logits_by_onnxruntime(engine, images).argmax(axis=1) == test.labels
        (said,) = (a.percent for a in manifest.card.accuracies if (a.what, a.split) == ("student engine", "test"))
        assert said == pytest.approx(100 * right.mean(), abs=0.3)  # one image of 360, where two logits are equal

    def test_the_graphs_in_the_bundle_are_valid_onnx(self, whole):
        graphs = list(whole.bundle.glob("*.onnx"))
        assert graphs
        for graph in graphs:
            onnx.checker.check_model(onnx.load(graph))

    @pytest.mark.usefixtures("_standing_there")
    def test_the_bundle_runs_and_passes_its_self_test(self, whole):
        done = run_bundle(whole.bundle, protocol="screen")
        assert done.selftest.passed
        assert done.selftest.samples == 16
        assert done.measurement.protocol == "screen"

    def test_the_report_is_one_file_that_reaches_for_nothing(self, whole):
        text = whole.report.read_text()
        assert "replayed" in text
        assert " src=" not in text.replace('src="data:', "")


class TestTheSameCommandAgain:
    def test_a_finished_search_does_nothing_and_tells_the_same(self, whole, here):
        before = whole.summary.read_text()
        journal = (whole.root / "journal.db").read_bytes()
        began = time.monotonic()
        done = run_here(*ARGV, "--out", "whole", "--json", folder=here, path=here / "site")
        assert done.status == 0
        assert time.monotonic() - began < 60
        assert (whole.root / "journal.db").read_bytes() == journal
        assert json.loads(done.out) == json.loads(before) == json.loads(whole.summary.read_text())

    def test_report_tells_the_same_from_the_journal_alone(self, whole, here):
        done = run_here("report", "whole", "--json", folder=here)
        assert json.loads(done.out) == json.loads(whole.summary.read_text())
        told = run_here("report", "whole", folder=here)
        assert (told.status, told.err) == (0, "")
        assert "all limits kept" in told.out

    def test_run_times_the_bundle(self, whole, here):
        done = run_here("run", whole.bundle, "--json", folder=here, path=here / "site")
        document = json.loads(done.out)
        assert (done.status, document["selftest_passed"]) == (0, True)
        assert document["reading"]["origin"] == "replay"
        told = run_here("run", whole.bundle, folder=here, path=here / "site")
        assert "self-test passed: 16 of 16" in told.out
        assert "Now (replayed)" in told.out

    def test_a_changed_byte_of_any_file_is_refused(self, whole, here, tmp_path):
        for name in ("manifest.json", *(path.name for path in whole.bundle.iterdir())):
            shutil.copytree(whole.bundle, tmp_path / "copy", dirs_exist_ok=True)
            path = tmp_path / "copy" / name
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.chmod(0o644)
            path.write_bytes(data)
            done = run_here("run", tmp_path / "copy", folder=here, path=here / "site")
            assert done.status == 2, name
            assert done.err.count("\n") == 1
            shutil.rmtree(tmp_path / "copy")

    def test_a_bundle_of_a_runtime_that_is_not_here_is_refused(self, whole, here):
        done = run_here("run", whole.bundle, folder=here)  # without the folder of packages
        assert done.status == 2
        assert "this engine needs fake 1.0, which is not installed. Hint: pip install fake==1.0" in done.err

    def test_a_lost_bundle_is_written_again_from_the_store(self, whole, here, tmp_path):
        shutil.copytree(whole.root, tmp_path / "copy", symlinks=True)
        copy = RunFolder(tmp_path / "copy")
        shutil.rmtree(copy.bundle)
        done = run_here(*ARGV, "--out", copy.root, folder=here, path=here / "site")
        assert done.status == 0
        assert read_bundle(copy.bundle).engine == read_bundle(whole.bundle).engine
        again = events_of(copy)
        assert again[:-1] == events_of(whole)
        assert isinstance(again[-1], Shipped)

    def test_two_processes_do_not_run_one_study(self, whole, here):
        with whole.held("mine"):
            done = run_here(*ARGV, "--out", "whole", folder=here, path=here / "site")
        assert done.status == 2
        assert done.err.startswith("autokd-edge: one process at a time may run a study; another one runs 'mine'")

    @pytest.mark.parametrize(
        ("option", "value", "field"), [("seed", "1", "seed"), ("max_latency", "4x", "limits"), ("budget", "3", "budget")]
    )
    def test_another_configuration_is_refused_by_the_field_that_differs(self, whole, here, option, value, field):
        before = held_by(whole.root)
        done = run_here(*argv(**{option: value}), "--out", "whole", folder=here, path=here / "site")
        assert done.status == 2
        assert f"; {field} was " in done.err
        assert held_by(whole.root) == before


def wait_for_events(folder: RunFolder, count: int, process) -> list[Event]:
    for _ in range(1200):
        events = events_of(folder)
        if len(events) >= count:
            return events
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"no {count} events within a minute")


def test_a_search_interrupted_then_killed_goes_on_to_the_same_end_and_repeats_nothing(whole, here):
    folder = RunFolder(here / "broken")
    argv = [*ARGV, "--out", "broken"]
    with start(*argv, folder=here, path=here / "site") as process:
        wait_for_events(folder, 4, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "autokd-edge: interrupted; the same command goes on from here"
    assert "Traceback" not in err
    interrupted = events_of(folder)
    with start(*argv, folder=here, path=here / "site") as process:
        wait_for_events(folder, len(interrupted) + 10, process)
        os.kill(process.pid, signal.SIGKILL)
    killed = events_of(folder)
    assert killed[: len(interrupted)] == interrupted
    done = run_here(*argv, folder=here, path=here / "site")
    assert done.status == 0
    finished = events_of(folder)
    assert finished[: len(killed)] == killed
    members = [event.member for event in finished if isinstance(event, Probed)]
    assert len(set(members)) == len(members)
    assert unshipped(finished) == unshipped(events_of(whole))


def unshipped(events: list[Event]) -> list[Event]:
    """Take out the bundle's digest: a manifest tells the time of its making."""
    return [event for event in timeless(events) if not isinstance(event, Shipped)]


def test_limits_that_nothing_keeps_end_with_status_3_the_closest_candidate_and_the_limit(here):
    done = run_apart(*argv(study="tight", max_latency="1us", budget="8s", out="tight"), folder=here, path=here / "site")
    assert done.status == 3
    assert "the closest candidate untrained has latency" in done.out
    assert "(limit 0.001 ms" in done.out
    assert "no bundle: no candidate fits after" in done.out
    folder = RunFolder(here / "tight")
    assert not folder.bundle.exists()
    assert folder.report.is_file()
    summary = json.loads(folder.summary.read_text())
    assert (summary["best"], summary["counts"]["fitting"]) == (None, 0)
    assert "latency" in summary["closest"]


@pytest.mark.usefixtures("_standing_there")
class TestSearchJob:
    def job(self, **changes) -> SearchJob:
        return SearchJob.of(SearchOptions(**{**WANTED, **changes}))

    def test_reading_a_job_writes_nothing(self, tmp_path):
        job = self.job(out=str(tmp_path / "out"))
        assert job.folder.root == tmp_path / "out"
        assert list(tmp_path.iterdir()) == []

    def test_a_limit_on_instructions_is_refused_where_nobody_counts_them(self, tmp_path):
        with pytest.raises(LimitError, match="counted on an emulated board alone, of one thread; 'this machine' counts none"):
            self.job(out=str(tmp_path / "out"), max_instructions="5M")
        assert list(tmp_path.iterdir()) == []

    def test_equal_options_have_one_name_and_others_another(self):
        names = {self.job(study=None).name, self.job(study=None).name}
        assert len(names) == 1
        (name,) = names
        assert name.startswith("digits-fake-host-")
        assert self.job(study=None, seed=1).name != name
        assert self.job(study=None).folder.root == Path("runs") / name

    def test_the_blocks_are_long_enough_for_the_percentile_of_the_limit(self):
        usual, strict = self.job().protocols["screen"], self.job(max_latency="p99:5x").protocols["screen"]
        assert strict.blocks * strict.block_runs >= 459
        assert usual.block_runs < strict.block_runs <= strict.block_samples
        assert self.job().config.protocols != self.job(max_latency="p99:5x").config.protocols

    def test_the_target_is_this_machine(self):
        (goal,) = self.job().goals
        assert goal.target.cores == os.cpu_count()
        assert not goal.target.probe

    def test_a_journal_of_another_schema_is_refused_before_anything_is_written(self, tmp_path):
        (tmp_path / "journal.db").write_bytes(b"x" * 4096)
        with pytest.raises(StoreError, match="is not an SQLite database"):
            self.job(out=str(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


def test_a_bundle_of_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"must be a folder with a manifest\.json"):
        run_bundle(tmp_path / "none", protocol="screen")


def test_screened_members_have_costs_that_agree_with_the_report(whole):
    study = fold(events_of(whole))
    costs = [probed.outcome.cost for probed in study.probes if isinstance(probed.outcome, Screened)]
    assert all(cost.parameters > 0 and cost.macs > 0 for cost in costs)
    grades = [graded.outcome for graded in study.grades]
    assert all(isinstance(grade, Grade) for grade in grades)


@pytest.mark.usefixtures("_standing_there")
def test_the_function_keeps_its_name_although_a_package_has_the_same(whole):
    again = autokd_edge.search(**WANTED, out=str(whole.root))
    assert again == fold(events_of(whole))


@pytest.fixture(scope="module")
def two(here) -> tuple[RunFolder, str]:
    """A search for two targets from the command line: its folder and what it printed."""
    text = (here / "fake.toml").read_text()
    (here / "second.toml").write_text(text.replace('name = "fake-host"', 'name = "second-host"'))
    command = [word for word in argv(study="two", budget="2", final_members="1", out="two") if word != "--max-latency"]
    command.remove(WANTED["max_latency"])
    limits = ("--target", "second.toml", "--max-latency", "fake-host=5x", "--max-latency", "second-host=8x")
    done = run_here(*command, *limits, folder=here, path=here / "site")
    assert done.status == 0, done.err
    return RunFolder(here / "two"), done.out


class TestTwoTargets:
    def test_each_has_a_bundle_of_its_own_that_runs(self, two, here):
        folder, out = two
        assert not folder.bundle.exists()
        for name in ("fake-host", "second-host"):
            bundle = folder.root / "bundles" / name
            assert read_bundle(bundle).card.target.name == name
            assert f"bundle for {name}: two/bundles/{name}" in out
            assert run_here("run", bundle, "--json", folder=here, path=here / "site").status == 0

    def test_teachings_are_shared_and_each_goal_has_its_own_limits(self, two):
        study = fold(SQLJournal(two[0].journal_url).read("two"))
        assert [goal.limits.latency.times_teacher for goal in study.config.goals] == [5.0, 8.0]
        assert sum(not taught.final for taught in study.teachings) == 2
        assert {shipped.goal for shipped in study.shipments} == {0, 1}

    def test_page_and_summary_tell_of_both(self, two, here):
        folder, _ = two
        assert [goal["target"] for goal in json.loads(folder.summary.read_text())["goals"]] == ["fake-host", "second-host"]
        assert folder.report.read_text().count("<article id=") == 2
        told = run_here("report", "two", "--json", folder=here)
        assert json.loads(told.out) == json.loads(folder.summary.read_text())
