"""One small search on a device behind a real sshd with the real runtime, cut off in the middle; takes about a minute."""

import json
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from fakes.command import Done, held_by, run_apart, run_here
from fakes.sshd import LoopbackBoard
from fakes.targets import write_target_without

from autokd_edge.api.folder import RunFolder
from autokd_edge.core.events import Opened, Probed, Shipped
from autokd_edge.core.pupil import Failed, Screened
from autokd_edge.core.study import fold
from autokd_edge.devices.fingerprint import read_fingerprint
from autokd_edge.store.journal import SQLJournal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: pip install 'autokd-edge[openvino]'"),
]
TARGET = "host-openvino.toml"  # host without the variants that another runtime than the board's gives, or that cost time alone
ASKED = ("search", "--data", "digits", "--teacher", "example:digits", "--max-latency", "1ms", "--family", "mbconv")
ASKED = (*ASKED, "--budget", "30s", "--search-steps", "4", "--final-steps", "8", "--final-members", "1", "--out", "run", "--study", "real")
ARGV = (*ASKED, "--target", TARGET)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    with LoopbackBoard(tmp_path_factory.mktemp("board")) as board, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", board.path_with_client())
        board.give_runtimes()
        yield board


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("over")
    write_target_without("host", "tvm/fp32", "openvino/bf16", "tvm/int8", out=folder / TARGET)
    return folder


def events_of(here):
    return list(SQLJournal(RunFolder(here / "run").journal_url).read("real"))


@pytest.fixture(scope="module")
def done(here, board) -> Done:
    """A search whose connection is cut after its first candidate was read."""

    def cut():
        end = time.monotonic() + 300
        while not any(isinstance(event, Probed) for event in events_of(here)) and time.monotonic() < end:
            time.sleep(0.2)
        board.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    done = run_apart(*ARGV, "--device", board.device, "--json", folder=here)
    cutter.join()
    return done


def test_the_search_goes_on_over_a_new_connection_and_no_candidate_pays_for_it(here, board, done):
    assert done.status == 0, done
    study = fold(events_of(here))
    failures = [probed.outcome for probed in study.probes if isinstance(probed.outcome, Failed)]
    assert {failed.stage for failed in failures} <= {"lower"}, failures
    assert board.logins() == 2


def test_every_reading_was_measured_on_the_device_that_the_configuration_names(here, board, done):
    assert done.status == 0
    events, machine = events_of(here), read_fingerprint()
    assert isinstance(events[0], Opened)
    assert events[0].config.goals[0].device == board.device
    readings = [m for e in events if isinstance(e, Probed) and isinstance(e.outcome, Screened) for m in e.outcome.measurements]
    assert readings
    assert {reading.origin for reading in readings} == {"device"}
    assert {reading.fingerprint.isa_flags for reading in readings} == {machine.isa_flags}
    assert isinstance(events[-1], Shipped)


def test_nothing_is_left_running_or_half_made_on_the_board(board, done):
    assert done.status == 0
    ours = board.cache / "autokd-edge"
    assert [path.name for path in (ours / "made").iterdir() if path.name.startswith("part-")] == []
    end = time.monotonic() + 10
    while list((ours / "sessions").iterdir()) and time.monotonic() < end:
        time.sleep(0.1)
    assert list((ours / "sessions").iterdir()) == []


def test_the_bundle_runs_on_the_device(here, board, done):
    assert done.status == 0
    ran = run_here("run", "run/bundle", "--protocol", "screen", "--device", board.device, "--json", folder=here)
    document = json.loads(ran.out)
    assert (ran.status, document["selftest_passed"], document["reading"]["origin"]) == (0, True, "device")


def test_the_same_search_on_another_device_is_refused(here, done):
    assert done.status == 0
    refused = run_here(*ARGV, folder=here)
    assert refused.status == 2
    assert "device was ssh://" in refused.last


def refused(tmp_path, *argv, status):
    before = held_by(tmp_path)
    done = run_here(*ASKED, *argv, folder=tmp_path)
    assert (done.status, done.out) == (status, "")
    assert held_by(tmp_path) == before
    return done.last


def test_a_device_without_the_runtime_is_refused_before_anything_is_written(tmp_path, tmp_path_factory):
    with LoopbackBoard(tmp_path_factory.mktemp("bare")) as bare, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", bare.path_with_client())
        python = bare.cache / "autokd-edge" / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without what is installed
        python.chmod(0o755)
        said = refused(tmp_path, "--device", bare.device, status=1)
    assert f"'{bare.device}' must have the package 'openvino'; it has not." in said
    assert said.endswith(f"Hint: autokd-edge doctor --target host --device {bare.device} --install")


def test_a_device_of_another_architecture_is_refused(tmp_path, board):
    text = (Path(__file__).parents[1] / "targets" / "host.toml").read_text().replace('"x86_64"', '"aarch64"')
    (tmp_path / "arm.toml").write_text(text)
    said = refused(tmp_path, "--target", "arm.toml", "--device", board.device, status=2)
    assert "must run on aarch64; the machine is x86_64" in said


def test_nobody_at_the_address_is_refused(tmp_path):
    said = refused(tmp_path, "--device", "ssh://nobody@127.0.0.1:1", status=1)
    assert "'ssh://nobody@127.0.0.1:1' must answer and run commands" in said


def test_an_address_that_is_none_is_wrong_input(tmp_path):
    assert "a device must be ssh://user@host" in refused(tmp_path, "--device", "pi@board", status=2)
