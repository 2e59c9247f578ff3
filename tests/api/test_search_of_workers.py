"""A whole search with two workers on real digits with the fake backend: interrupted, killed and continued."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from api.test_search import argv
from fakes.command import run_apart, start
from fakes.plugin import install_plugin, write_target

from autokd_edge.api.folder import RunFolder
from autokd_edge.core.events import Begun, Event, Shipped, Taught
from autokd_edge.core.pupil import Lesson
from autokd_edge.core.study import fold
from autokd_edge.store.journal import SQLJournal

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]
ARGV = argv(budget="4", search_steps="400", final_steps="400", workers="2", out="run")


def events_of(folder: Path) -> list[Event]:
    return list(SQLJournal(RunFolder(folder / "run").journal_url).read("mine"))


def workers_of(pid: int) -> list[int]:
    found = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [child for child in found if b"autokd_edge.teaching.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_until_two_are_taught(folder: Path, process) -> list[int]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        events = events_of(folder)
        if events and len(fold(events).running) == 2 and list((folder / "run" / "work" / "lessons").glob("*.partial")):
            return workers_of(process.pid)
        time.sleep(0.1)
    raise AssertionError("no two lessons were begun within two minutes")


def wait_for_the_end_of(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its search"
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_search_of_two_workers_interrupted_then_killed_goes_on_loses_nothing_and_leaves_no_worker(tmp_path):
    install_plugin(tmp_path / "site")
    write_target(tmp_path / "fake.toml")
    with start(*ARGV, folder=tmp_path, path=tmp_path / "site") as process:
        pids = wait_until_two_are_taught(tmp_path, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "autokd-edge: interrupted; the same command goes on from here"
    assert "Traceback" not in err
    assert len(pids) == 2
    wait_for_the_end_of(pids)
    interrupted = events_of(tmp_path)
    with start(*ARGV, folder=tmp_path, path=tmp_path / "site") as process:
        pids = wait_until_two_are_taught(tmp_path, process)
        os.kill(process.pid, signal.SIGKILL)
    wait_for_the_end_of(pids)
    killed = events_of(tmp_path)
    done = run_apart(*ARGV, "--json", folder=tmp_path, path=tmp_path / "site")
    assert done.status == 0, done.err
    finished = events_of(tmp_path)
    assert killed[: len(interrupted)] == interrupted
    assert finished[: len(killed)] == killed
    names = ("pupil", "steps", "final", "goal", "of_steps")
    begun, taught = ([tuple(getattr(e, n) for n in names) for e in finished if isinstance(e, kind)] for kind in (Begun, Taught))
    assert sorted(map(repr, begun)) == sorted(map(repr, taught))
    assert len(set(begun)) == len(begun)
    assert all(isinstance(event.outcome, Lesson) for event in finished if isinstance(event, Taught))
    assert isinstance(finished[-1], Shipped)
    assert json.loads(done.out)["workers"] == 2
