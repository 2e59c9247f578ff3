"""Holding the clocks of a device still, with files that look like the kernel's and stand-ins of a Jetson's tools."""

import os
import subprocess
import sys
import threading
import time

import pytest
from fakes.jetson_tools import FakeJetsonTools, FakeTools
from fakes.link import FakeLink
from fakes.sshd import LoopbackBoard

from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.clocks import clocks_held, clocks_locked
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.device import Device
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import ConnectionLostError, TimedOutError
from autokd_edge.ports import Finished

BEFORE = ["ondemand", "ondemand", "powersave"]
# Of a Jetson Orin Nano; the board of the stand-in has no 25W.
MODES = ("MAXN_SUPER", "25W", "15W", "7W")
AS_IT_WAS, LOCKED = ("0", "free"), ("2", "locked")


@pytest.fixture
def governors(tmp_path):
    paths = [tmp_path / f"cpu{core}" / "cpufreq" / "scaling_governor" for core in range(3)]
    for path, governor in zip(paths, BEFORE, strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(f"{governor}\n")
    return paths


@pytest.fixture
def machine(tmp_path):
    return FakeTools(tmp_path)


@pytest.fixture
def jetson(tmp_path):
    return FakeJetsonTools(tmp_path)


def until(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        time.sleep(0.02)


def said(paths):
    return [path.read_text().strip() for path in paths]


def locked(link, *modes):
    return clocks_locked(link, power_modes=modes, cores=str(link.folder), modes=str(link.folder / "nvpmodel.conf"))


def test_governors_are_held_and_put_back_also_after_an_error(governors, machine):
    seen = []

    def measure():
        with locked(machine, "MAXN") as how:
            seen.extend((how, *said(governors)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure()
    assert seen == ["locked by governor, and restored", *["performance"] * 3]
    assert said(governors) == BEFORE
    assert not machine.kept.exists()


def test_a_machine_without_governors_is_left_alone(machine):
    with locked(machine) as how:
        assert how == "not locked: the machine has no governor"


def test_where_one_governor_cannot_be_set_the_others_are_put_back(governors, machine):
    fails = 'case $said$1 in performance*cpu2*) echo "no such governor" >&2; exit 1 ;; esac'
    machine.install("tee", f'read -r said\n{fails}\necho "$said" >"$1"')
    with locked(machine) as how:
        assert how == "not locked: no such governor"
        assert said(governors) == BEFORE
    assert said(governors) == BEFORE


def test_a_lock_that_ran_twice_puts_back_what_was_before_the_first(governors, machine):
    """As where a connection was cut while the answer was on its way, or the one who locked has died."""
    with locked(machine), locked(machine):
        assert said(governors) == ["performance"] * 3
    assert said(governors) == BEFORE


def test_what_was_before_the_machine_was_started_anew_is_forgotten(governors, machine):
    machine.kept.mkdir(parents=True)
    (machine.kept / "boot").write_text("another start\n")
    (machine.kept / "governors").write_text(f"userspace {governors[0]}\n")
    with locked(machine):
        assert said(governors) == ["performance"] * 3
    assert said(governors) == BEFORE


def test_a_jetsons_own_tools_come_first(governors, jetson):
    with locked(jetson, *MODES) as how:
        assert how == "locked by nvpmodel (MAXN_SUPER) and jetson_clocks, and restored"
        assert jetson.state == LOCKED
        assert said(governors) == BEFORE
    assert jetson.state == AS_IT_WAS
    calls = ["nvpmodel -m 2", "jetson_clocks --store", "jetson_clocks ", "jetson_clocks --restore", "nvpmodel -m 0"]
    assert jetson.changes == calls
    assert not jetson.kept.exists()


def test_the_fastest_mode_that_the_board_knows_is_set(jetson):
    with locked(jetson, "MAXN", "25W", "7W") as how:
        assert how.startswith("locked by nvpmodel (7W) and")
        assert jetson.state == ("1", "locked")
    assert jetson.state == AS_IT_WAS


def test_modes_are_asked_of_the_tool_where_its_file_cannot_be_read(jetson):
    with clocks_locked(jetson, power_modes=MODES, modes="/nowhere") as how:
        assert how.startswith("locked by nvpmodel (MAXN_SUPER) and")
    assert jetson.state == AS_IT_WAS


@pytest.mark.parametrize("modes", [(), ("15W",)])
def test_a_mode_that_is_set_or_not_asked_for_is_left(jetson, modes):
    with locked(jetson, *modes) as how:
        assert (how, jetson.state) == ("locked by jetson_clocks, and restored", ("0", "locked"))
    assert jetson.changes == ["jetson_clocks --store", "jetson_clocks ", "jetson_clocks --restore"]


def test_a_mode_that_needs_a_restart_is_left_and_nothing_is_restarted(tmp_path, caplog):
    jetson = FakeJetsonTools(tmp_path, restart=("2",))
    with locked(jetson, *MODES) as how:
        assert how == (
            "locked by jetson_clocks, and restored; power mode as it was, MAXN_SUPER could not be set: it needs a restart of the board"
        )
        assert jetson.state == ("0", "locked")
    assert jetson.state == AS_IT_WAS
    assert not (tmp_path / "restarted").exists()
    with clocks_held(Device(link=jetson, lease=None, fingerprint=None), MODES):
        assert jetson.state == ("0", "locked")
    assert len(caplog.messages) == 1
    assert "power mode as it was" in caplog.messages[0]


def test_a_board_that_knows_none_of_the_modes_says_so(jetson):
    with locked(jetson, "MODE_30W") as how:
        assert how == "locked by jetson_clocks, and restored; power mode as it was: nvpmodel knows none of MODE_30W"


def test_a_mode_that_does_not_come_back_is_said(tmp_path, caplog):
    jetson = FakeJetsonTools(tmp_path, restart=("0",))
    with locked(jetson, *MODES):
        assert jetson.state == LOCKED
    assert jetson.state == ("2", "free")
    assert "power mode 0 did not come back: it needs a restart of the board" in caplog.messages[0]
    assert (jetson.kept / "mode").exists()  # the next one gives it back, where it can


def test_where_jetson_clocks_fails_the_mode_and_the_clocks_are_put_back(jetson):
    (jetson.folder / "broken").touch()
    with locked(jetson, *MODES) as how:
        assert how == "not locked: Error: Failed to max GPU frequency!"
        assert jetson.state == AS_IT_WAS
    assert jetson.state == AS_IT_WAS


class FakeCutLink(FakeJetsonTools):
    """Runs a step again where the program was killed in it, as a link does that lost its connection."""

    def run(self, argv, *, stdin, timeout_s):
        done = super().run(argv, stdin=stdin, timeout_s=timeout_s)
        return done if done.status >= 0 else super().run(argv, stdin=stdin, timeout_s=timeout_s)


def test_a_lock_that_was_cut_off_and_repeated_puts_back_what_was_before(tmp_path):
    jetson = FakeCutLink(tmp_path)
    (tmp_path / "cut").touch()
    with locked(jetson, *MODES) as how:
        assert how == "locked by nvpmodel (MAXN_SUPER) and jetson_clocks, and restored"
        assert jetson.state == LOCKED
    assert not (tmp_path / "cut").exists()
    assert jetson.changes.count("jetson_clocks --store") == 1
    assert jetson.state == AS_IT_WAS


@pytest.mark.slow
def test_a_connection_cut_in_the_middle_of_a_lock_changes_nothing_of_what_is_put_back(tmp_path):
    jetson = FakeJetsonTools(tmp_path)
    (tmp_path / "hang").touch()
    path = f"{jetson.bin}:{os.environ['PATH']}"
    with LoopbackBoard(tmp_path / "board", environment={"PATH": path}) as board:
        link = SshLink(SshConnection(ssh_address(board.device), client=board.ssh), patience_s=(0.1, 0.5, 1.0))
        cutter = threading.Thread(target=lambda: (until((tmp_path / "hangs").exists), board.cut()))
        cutter.start()
        with clocks_locked(link, power_modes=MODES, modes=str(jetson.conf)) as how:
            cutter.join()
            assert how == "locked by nvpmodel (MAXN_SUPER) and jetson_clocks, and restored"
            assert jetson.state == LOCKED
        link.close()
    assert jetson.changes.count("jetson_clocks ") == 2
    assert jetson.state == AS_IT_WAS


LOCKS_AND_WAITS = """
import sys, time
from pathlib import Path
from fakes.jetson_tools import FakeTools
from autokd_edge.devices.clocks import clocks_locked
machine = FakeTools(Path(sys.argv[1]))
with clocks_locked(machine, cores=sys.argv[1], grace_s=1) as how:
    print(how, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_locked_clocks_on_its_own_machine(governors, tmp_path):
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", LOCKS_AND_WAITS, tmp_path], stdout=subprocess.PIPE, text=True, env=here) as run:
        assert run.stdout.readline() == "locked by governor, and restored\n"
        time.sleep(2.5)  # longer than its grace: it lives
        assert said(governors) == ["performance"] * 3
        run.kill()
    until(lambda: said(governors) == BEFORE)
    until(lambda: not (tmp_path / "cache" / "autokd-edge" / "clocks").exists())


@pytest.mark.slow
@pytest.mark.parametrize("opened_again", [True, False])
def test_a_board_whose_connection_broke_puts_its_clocks_back_where_it_stays_broken(tmp_path, opened_again):
    jetson = FakeJetsonTools(tmp_path)
    path = f"{jetson.bin}:{os.environ['PATH']}"
    with LoopbackBoard(tmp_path / "board", environment={"PATH": path}) as board:
        link = SshLink(SshConnection(ssh_address(board.device), client=board.ssh), patience_s=(0.1, 0.5, 1.0))
        with clocks_locked(link, power_modes=MODES, modes=str(jetson.conf), grace_s=5):
            board.cut()
            if opened_again:
                assert link.run(["true"], stdin=b"", timeout_s=10.0).status == 0
                time.sleep(7.0)
                assert jetson.state == LOCKED
            else:
                until(lambda: jetson.state == AS_IT_WAS)
        link.close()
    assert jetson.state == AS_IT_WAS


def test_a_power_mode_outlasts_the_restart_of_a_board_whose_run_died_and_is_put_back_by_the_next(jetson):
    jetson.kept.mkdir(parents=True)
    for name, text in {"boot": "another start", "mode": "0 2", "jetson_clocks": "of that start"}.items():
        (jetson.kept / name).write_text(f"{text}\n")
    (jetson.folder / "mode").write_text("2\n")
    with locked(jetson, *MODES):
        assert jetson.state == LOCKED
    assert jetson.state == AS_IT_WAS


def test_a_mode_that_somebody_else_set_meanwhile_is_left(jetson):
    with locked(jetson, *MODES):
        (jetson.folder / "mode").write_text("1\n")
    assert jetson.state == ("1", "free")


def test_what_could_not_be_put_back_is_said_and_hides_no_error(caplog):
    answers = iter([Finished(status=0, stdout=b"governor\n\n", stderr=b""), ConnectionLostError("gone")])
    link = FakeLink(None)
    link.run = lambda argv, *, stdin, timeout_s: raised_or(next(answers))  # noqa: ARG005  the port's signature
    with pytest.raises(ZeroDivisionError), clocks_held(Device(link=link, lease=None, fingerprint=None)):
        raise ZeroDivisionError
    assert caplog.messages == ["the clocks of 'this machine' could not be put back, the next run with --lock-clocks does: gone"]


def test_a_lock_that_took_too_long_is_undone(caplog):
    asked = []

    def run(argv, *, stdin, timeout_s):  # noqa: ARG001  the port's signature
        asked.append(argv)
        return raised_or(TimedOutError("too long") if len(asked) == 1 else Finished(status=0, stdout=b"", stderr=b""))

    link = FakeLink(None)
    link.run = run
    with clocks_held(Device(link=link, lease=None, fingerprint=None)):
        assert len(asked) == 2
    assert caplog.messages == ["the clocks of 'this machine' are not locked: too long"]


def raised_or(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_what_is_not_permitted_is_a_warning_and_the_work_is_done(caplog):
    link = FakeLink(None)
    link.run = lambda argv, *, stdin, timeout_s: Finished(status=1, stdout=b"", stderr=b"sudo: a password is required\n")  # noqa: ARG005
    with clocks_held(Device(link=link, lease=None, fingerprint=None)):
        done = True
    assert done
    assert caplog.messages == ["the clocks of 'this machine' are not locked: sudo: a password is required"]


def test_a_user_who_may_not_is_told_why_and_nothing_is_changed(jetson):
    jetson.install("id", "echo 1000")
    jetson.install("sudo", 'echo "sudo: a password is required" >&2; exit 1')
    with locked(jetson, *MODES) as how:
        assert how == "not locked: sudo: a password is required"
    assert (jetson.state, jetson.changes) == (AS_IT_WAS, [])
