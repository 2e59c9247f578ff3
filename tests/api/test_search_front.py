"""Whole searches for a front on real digits with the fake backend: to the end, cut off and continued, and refused."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from fakes.command import run_apart, run_here, start
from pipeline.world import timeless

import autokd_edge
from autokd_edge.api.folder import RunFolder
from autokd_edge.api.options import SearchOptions
from autokd_edge.api.search import SearchJob
from autokd_edge.bundle.checker import read_bundle
from autokd_edge.core.events import Event, Shipped
from autokd_edge.core.front import front_of
from autokd_edge.core.study import fold
from autokd_edge.store.journal import SQLJournal

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_standing_there")]
WANTED = {
    "data": "digits",
    "teacher": "example:digits",
    "target": "fake.toml",
    "pareto": "latency,memory",
    "max_latency": "5x",
    "budget": "2",
    "search_steps": 4,
    "final_steps": 8,
    "policy": "random",
    "study": "mine",
}


def arguments(**changes: str) -> list[str]:
    return [str(word) for name, value in (WANTED | changes).items() for word in (f"--{name.replace('_', '-')}", value)]


class Cut(BaseException):
    """The process is gone."""


def events_of(root: Path) -> list[Event]:
    return list(SQLJournal(RunFolder(root).journal_url).read("mine"))


def unshipped(events: list[Event]) -> list[Event]:
    return [event for event in timeless(events) if not isinstance(event, Shipped)]


@pytest.fixture(scope="module")
def whole(here) -> Path:
    """A search that was cut off in the middle of the search and of the finals, told of, and went on each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.syspath_prepend(here / "site")
        for searched, final, graded in ((1, 0, 0), (2, 1, 1)):

            def watch(study, _action, at=(searched, final, graded)):
                finals = sum(taught.final for taught in study.teachings)
                if (len(study.teachings) - finals, finals, len(study.grades)) == at:
                    raise Cut

            with pytest.raises(Cut):
                SearchJob.of(SearchOptions(**WANTED, out="whole")).run(watch)
            told = run_here("report", "whole", folder=here)
            assert (told.status, told.err) == (0, "")
            assert ("so far" in told.out) == (graded == 0)
        autokd_edge.search(**WANTED, out="whole")
    return here / "whole"


def test_every_engine_on_the_front_is_a_bundle_with_its_own_test_accuracy(whole):
    study = fold(events_of(whole))
    front = front_of(study)
    assert len(front) >= 2
    assert sorted(path.name for path in (whole / "bundles").iterdir()) == [str(n) for n in range(1, len(front) + 1)]
    assert not (whole / "bundle").exists()
    for number, graded in enumerate(front, start=1):
        bundle = read_bundle(whole / "bundles" / str(number))
        assert bundle.engine.sha256 == graded.outcome.engine
        said = {(a.what, a.split): a.percent for a in bundle.card.accuracies}
        assert said["student engine", "validation"] == graded.outcome.accuracy
        assert ("student engine", "test") in said
    shipped = [event for event in events_of(whole) if isinstance(event, Shipped)]
    assert [(event.pupil, event.variant) for event in shipped] == [(graded.pupil, graded.variant) for graded in front]


def test_terminal_page_and_json_tell_of_the_front(whole, here):
    front = front_of(fold(events_of(whole)))
    done = run_here("report", "whole", folder=here)
    assert (done.status, done.err) == (0, "")
    assert f"front of accuracy against latency and memory: {len(front)} engines keep all limits" in done.out
    for number in range(1, len(front) + 1):
        assert f"bundles/{number}" in done.out
    summary = json.loads(run_here("report", "whole", "--json", folder=here).out)
    assert summary == json.loads((whole / "summary.json").read_text())
    assert [one["bundle"] for one in summary["front"]] == [f"bundles/{n}" for n in range(1, len(front) + 1)]
    assert all(0 < one["accuracy_test_percent"] <= 100 for one in summary["front"])
    page = (whole / "report.html").read_text()
    assert "<h2>The front: accuracy against latency and memory</h2>" in page
    assert 'data-name="accuracy-by-memory"' in page


def test_the_same_command_again_does_nothing_and_a_lost_bundle_is_written_again(whole, tmp_path):
    before = (whole / "journal.db").read_bytes()
    autokd_edge.search(**WANTED, out="whole")
    assert (whole / "journal.db").read_bytes() == before
    shutil.copytree(whole, tmp_path / "copy", symlinks=True)
    shutil.rmtree(tmp_path / "copy" / "bundles" / "2")
    autokd_edge.search(**WANTED, out=str(tmp_path / "copy"))
    assert read_bundle(tmp_path / "copy" / "bundles" / "2").engine == read_bundle(whole / "bundles" / "2").engine
    assert len(events_of(tmp_path / "copy")) == len(events_of(whole)) + 1


@pytest.mark.thorough
@pytest.mark.parametrize("policy", ["random", "edge-bo"])
def test_a_search_that_was_killed_again_and_again_comes_to_the_very_front_of_one_that_was_not(here, policy):
    argv = arguments(policy=policy)
    assert run_apart("search", *argv, "--out", f"undisturbed-{policy}", folder=here, path=here / "site").status == 0
    expected, killed = events_of(here / f"undisturbed-{policy}"), here / f"killed-{policy}"
    for count in (5, len(expected) // 2, len(expected) - 6, len(expected) - 3):
        with start("search", *argv, "--out", killed.name, folder=here, path=here / "site") as process:
            while not (killed / "journal.db").exists() or len(events_of(killed)) < count:
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
    assert run_apart("search", *argv, "--out", killed.name, folder=here, path=here / "site").status == 0
    assert unshipped(events_of(killed)) == unshipped(expected)
    bundles = [sorted((here / run / "bundles").iterdir()) for run in (killed.name, f"undisturbed-{policy}")]
    engines = [[read_bundle(path).engine.sha256 for path in paths] for paths in bundles]
    assert engines[0] == engines[1] != []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pareto": "memory"}, "a front is of accuracy against latency or latency,memory; got 'memory'. Hint: --pareto latency"),
        ({"policy": "evolution"}, "policies that search for a front are edge-bo, random; got 'evolution'. Hint: --policy edge-bo"),
        ({"rungs": "2"}, "a front is searched with whole teachings, on one rung; got --rungs 2. Hint: --rungs 1"),
        ({"workers": "2"}, "a front is searched with one teaching at a time; got --workers 2. Hint: --workers 1"),
        ({"final_members": "2"}, "students of a front are taught in full as they were found"),
        ({"max_instructions": "5M"}, "no latency follows from instructions"),
    ],
)
def test_what_a_front_cannot_be_searched_with_is_one_sentence_and_nothing_is_written(here, changes, said):
    done = run_here("search", *arguments(**changes), "--out", "refused", folder=here, path=here / "site")
    assert done.status == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (here / "refused").exists()


def test_a_front_of_two_targets_is_one_sentence(here):
    done = run_here("search", *arguments(), "--target", "host", "--out", "refused", folder=here, path=here / "site")
    assert done.status == 2
    assert "a front is searched for one target at a time; got fake-host, host. Hint: --target fake-host" in done.err
