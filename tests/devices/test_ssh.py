"""The link over SSH, by a real sshd on loopback; every fault that a way to a board can have."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts.link import LinkContract
from devices.conftest import link_to
from fakes.backend import FAKE_TARGET, FAKE_VARIANTS
from fakes.runtime import FAKE_RUNTIME
from fakes.small_disk import small_disk
from fakes.sshd import LoopbackBoard

from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.runtime import LinkedRuntime
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import (
    AccessDeniedError,
    ConnectionLostError,
    DeviceDiskFullError,
    DeviceError,
    HostKeyError,
    MeasureError,
    RebootedError,
    RuntimeMissingError,
    UnreachableError,
)

pytestmark = pytest.mark.slow
QUICK = (0.1, 0.2, 0.3)


@pytest.mark.usefixtures("loopback")
class TestSshLink(LinkContract):
    pass


def files_of(board: LoopbackBoard) -> dict[str, Path]:
    return {path.parent.name: path for path in (board.cache / "autokd-edge" / "files").glob("*/bytes")}


def processes_with(text: str) -> list[str]:
    found = subprocess.check_output(["/bin/ps", "-eo", "args"], text=True).splitlines()
    return [line for line in found if text in line and "ps -eo" not in line]


def wait_until(holds, seconds=10.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        time.sleep(0.02)


def test_a_file_is_sent_once_by_whatever_name_and_whoever_sends_it(own_board, to_own, tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "b").write_bytes(b"x" * 100_000)
    first = to_own()
    there = first.push(tmp_path / "a")
    [kept] = files_of(own_board).values()
    sent = kept.stat().st_ino
    other = to_own().push(tmp_path / "b")
    assert (Path(there).name, Path(other).name) == ("a", "b")
    assert {path.stat().st_ino for path in (Path(there), Path(other), *files_of(own_board).values())} == {sent}


def test_what_was_made_there_is_not_sent_again(own_board, to_own, tmp_path):
    link, out = to_own(), tmp_path / "engine"
    place = link.place(out)
    link.run(["sh", "-c", 'echo engine >"$1"', "sh", place], stdin=b"", timeout_s=20)
    link.pull(place, out)
    [kept] = files_of(own_board).values()
    made = kept.stat().st_ino
    assert Path(link.push(out)).stat().st_ino == made
    assert list((own_board.cache / "autokd-edge" / "made").iterdir()) == []


def test_a_file_that_was_changed_on_the_board_is_sent_again(to_own, tmp_path):
    (tmp_path / "a").write_bytes(b"right")
    there = Path(to_own().push(tmp_path / "a"))
    there.chmod(0o600)
    there.write_bytes(b"wrong")
    assert Path(to_own().push(tmp_path / "a")).read_bytes() == b"right"


def test_a_program_is_sent_as_one_that_can_be_run(to_own, tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    link = to_own()
    assert link.run([link.push(program)], stdin=b"", timeout_s=20).stdout == b"ran\n"


def test_what_is_kept_on_a_board_stays_under_its_limit_the_oldest_out_first(own_board, to_own, tmp_path):
    link = to_own(files_kb=250)
    for number in range(4):
        (tmp_path / str(number)).write_bytes(os.urandom(100_000))
        link.push(tmp_path / str(number))
        time.sleep(0.02)
    left = {hashlib.sha256((tmp_path / str(number)).read_bytes()).hexdigest(): number for number in range(4)}
    assert sorted(left[digest] for digest in files_of(own_board)) == [2, 3]


def test_a_login_that_prints_disturbs_nothing(tmp_path):
    with LoopbackBoard(tmp_path / "board") as board:
        board.write_config(more='ForceCommand echo "garbage $RANDOM"; echo more >&2; eval "$SSH_ORIGINAL_COMMAND"')
        board.stop()
        board.start()
        link = SshLink(SshConnection(ssh_address(board.device), client=board.ssh))
        assert link.run(["cat"], stdin=b"clean", timeout_s=20).stdout == b"clean"
        (tmp_path / "file").write_bytes(b"\0" * 1000)
        link.pull(link.push(tmp_path / "file"), tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"\0" * 1000
        link.close()


def test_one_connection_carries_everything(own_board, to_own, tmp_path):
    link = to_own()
    for number in range(3):
        (tmp_path / str(number)).write_text(str(number))
        link.run(["true"], stdin=b"", timeout_s=20)
        link.push(tmp_path / str(number))
    assert own_board.logins() == 1


def test_a_connection_cut_during_a_run_is_opened_again_and_the_run_repeated(own_board, to_own, tmp_path):
    link, runs = to_own(patience_s=QUICK), tmp_path / "runs"
    cutter = threading.Thread(target=lambda: (wait_until(runs.exists), own_board.cut()))
    cutter.start()
    finished = link.run(["sh", "-c", 'echo run >>"$1"; [ $(wc -l <"$1") = 2 ] || sleep 60', "sh", str(runs)], stdin=b"", timeout_s=30)
    cutter.join()
    assert finished.status == 0
    assert runs.read_text() == "run\nrun\n"
    wait_until(lambda: not processes_with(str(runs)))  # the first one was ended: nobody measures next to an orphan


def test_a_connection_cut_during_a_push_leaves_no_torn_file(own_board, to_own, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(os.urandom(64 * 2**20))
    made = own_board.cache / "autokd-edge" / "made"
    link = to_own(patience_s=QUICK)
    link.run(["true"], stdin=b"", timeout_s=20)
    cutter = threading.Thread(
        target=lambda: (wait_until(lambda: any(part.stat().st_size for part in made.glob("part-*"))), own_board.cut())
    )
    cutter.start()
    there = Path(link.push(large))
    cutter.join()
    assert own_board.logins() == 2
    assert there.read_bytes() == large.read_bytes()
    wait_until(lambda: list(made.iterdir()) == [])


def test_a_connection_that_does_not_come_back_is_lost_after_a_bounded_number_of_tries(own_board, to_own):
    link = to_own(patience_s=QUICK)
    link.run(["true"], stdin=b"", timeout_s=20)
    own_board.stop()
    start = time.monotonic()
    with pytest.raises(ConnectionLostError, match=r"broke and did not come back in 3 tries.*Connection refused"):
        link.run(["true"], stdin=b"", timeout_s=20)
    assert time.monotonic() - start < 15
    own_board.start()
    assert link.run(["echo", "back"], stdin=b"", timeout_s=20).stdout == b"back\n"


def test_nothing_runs_on_after_the_one_who_asked_was_killed(own_board, tmp_path):
    argv = [sys.executable, "-c", ASKING, own_board.device, tmp_path / "began", *own_board.ssh]
    with subprocess.Popen(argv) as process:
        wait_until((tmp_path / "began").exists, 30)
        assert processes_with("sleep 61.5")
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_with("sleep 61.5"))
    wait_until(lambda: not list((own_board.cache / "autokd-edge" / "sessions").iterdir()))


# No kernel is started anew in a test: its boot_id is covered by a mount in a namespace of the board's own, which only root may make.
@pytest.mark.skipif(os.geteuid() != 0, reason="a kernel that was started anew is made of a mount over its boot_id, which needs root")
def test_a_board_that_was_started_anew_is_a_failure_of_its_own(tmp_path):
    boot = tmp_path / "boot_id"
    boot.write_text("6f1c1f0e-0000-4000-8000-000000000001\n")
    with LoopbackBoard(tmp_path / "board", boot=boot) as board, closing(link_to(board, patience_s=QUICK)) as link:
        link.run(["true"], stdin=b"", timeout_s=20)
        boot.write_text("6f1c1f0e-0000-4000-8000-000000000002\n")
        board.cut()
        with pytest.raises(RebootedError, match="must keep running while it is measured; it was started anew"):
            link.run(["true"], stdin=b"", timeout_s=20)
        assert link.run(["true"], stdin=b"", timeout_s=20).status == 0


SLOW_AT_FIRST = """
import time
from pathlib import Path
_build, _builds = build, Path("BUILDS")

def build(request):
    first = not _builds.exists()
    _builds.write_text("build\\n" if first else "build\\nbuild\\n")
    time.sleep(60 if first else 0)
    return _build(request)
"""


def test_a_connection_cut_during_a_build_is_opened_again_and_the_engine_is_whole(own_board, to_own, tmp_path):
    own_board.give_runtimes()
    driver, builds = tmp_path / "driver.py", tmp_path / "builds"
    driver.write_text(FAKE_RUNTIME.driver.read_text() + SLOW_AT_FIRST.replace("BUILDS", str(builds)))
    with (tmp_path / "graph").open("wb") as stream:
        np.save(stream, np.arange(12, dtype=np.float32).reshape(4, 3))
    there = LinkedRuntime(runtime=replace(FAKE_RUNTIME, driver=driver), link=to_own(patience_s=QUICK))
    cutter = threading.Thread(target=lambda: (wait_until(builds.exists), own_board.cut()))
    cutter.start()
    there.build(tmp_path / "graph", variant=FAKE_VARIANTS[0], target=FAKE_TARGET, out=tmp_path / "engine", timeout_s=30)
    cutter.join()
    assert (builds.read_text(), own_board.logins()) == ("build\nbuild\n", 2)
    assert (tmp_path / "engine").read_bytes() == (tmp_path / "graph").read_bytes()
    wait_until(lambda: not processes_with(str(own_board.cache)))  # the build that was cut off was ended


def test_a_full_disk_is_said_as_such_and_nothing_torn_is_left(tmp_path):
    with (
        small_disk(tmp_path / "disk", kibibytes=300) as disk,
        LoopbackBoard(tmp_path / "board", environment={"XDG_CACHE_HOME": str(disk)}) as board,
    ):
        link = SshLink(SshConnection(ssh_address(board.device), client=board.ssh))
        (tmp_path / "large").write_bytes(os.urandom(1_000_000))
        with pytest.raises(DeviceDiskFullError, match=rf"the disk of '{board.device}' must have room.*it is full"):
            link.push(tmp_path / "large")
        assert [path for path in disk.rglob("*") if path.is_file() and path.parent.parent.name != "sessions"] == []
        (tmp_path / "small").write_bytes(b"1")
        assert Path(link.push(tmp_path / "small")).read_bytes() == b"1"
        link.close()
        wait_until(lambda: not list((disk / "autokd-edge" / "sessions").iterdir()))


# Starts a long sleep on a board: its address, a file to touch there, the client.
ASKING = """
import sys
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.runtime import LinkedRuntime
from autokd_edge.devices.ssh import SshLink
link = SshLink(SshConnection(ssh_address(sys.argv[1]), client=sys.argv[3:]))
link.run(["sh", "-c", 'touch "$1"; sleep 61.5', "sh", sys.argv[2]], stdin=b"", timeout_s=60)
"""


def refused(board, kind: type[DeviceError], match: str):
    link = SshLink(SshConnection(ssh_address(board.device), client=board.ssh), patience_s=QUICK)
    with pytest.raises(kind, match=match) as caught:
        link.run(["true"], stdin=b"", timeout_s=20)
    assert type(caught.value) is kind
    assert caught.value.hint
    return caught.value


def test_a_changed_host_key_is_refused(own_board):
    own_board.stop()
    own_board.write_config(host_key="user")
    own_board.start()
    error = refused(own_board, HostKeyError, "it has changed, so that this may be another machine")
    assert f"ssh-keygen -R '[127.0.0.1]:{own_board.port}'" in error.hint


def test_an_unknown_host_key_is_refused(own_board):
    (own_board.folder / "known").write_text("")
    refused(own_board, HostKeyError, "must be known; it is not")


def test_a_key_that_the_board_does_not_know_is_refused(own_board):
    (own_board.folder / "authorized").write_text("")
    error = refused(own_board, AccessDeniedError, "Permission denied")
    assert error.hint.startswith(f"ssh-copy-id -p {own_board.port} ")


def test_nobody_at_the_address_is_refused_at_once(own_board):
    own_board.stop()
    start = time.monotonic()
    refused(own_board, UnreachableError, "Connection refused")
    assert time.monotonic() - start < 5


def test_a_board_that_runs_no_commands_is_unreachable(own_board):
    own_board.stop()
    own_board.write_config(more="ForceCommand echo This account is not available; false")
    own_board.start()
    refused(own_board, UnreachableError, "must answer and run commands")


def test_a_board_without_python_is_told_apart(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for program in ("sh", "mkdir", "rm"):
        (tools / program).symlink_to(f"/bin/{program}")
    with LoopbackBoard(tmp_path / "board") as board:
        board.write_config(more=f'ForceCommand PATH={tools}; export PATH; eval "$SSH_ORIGINAL_COMMAND"')
        board.stop()
        board.start()
        link = SshLink(SshConnection(ssh_address(board.device), client=board.ssh))
        with pytest.raises(RuntimeMissingError, match="must have python3"):
            _ = link.python
        link.close()


def test_a_file_that_does_not_arrive_whole_is_a_retryable_failure(own_board, tmp_path):
    """A client that spoils one byte stands for a memory that does."""
    spoiler = tmp_path / "ssh"
    spoiler.write_text(f'#!/bin/sh\n{" ".join(own_board.ssh)} "$@" | sed -u "s/spoil-me/spoiled!/"\n')
    spoiler.chmod(0o755)
    (tmp_path / "file").write_bytes(b"spoil-me\n")
    link = SshLink(SshConnection(ssh_address(own_board.device), client=[str(spoiler)]))
    there = link.push(tmp_path / "file")
    with pytest.raises(MeasureError, match="did not arrive whole") as caught:
        link.pull(there, tmp_path / "copy")
    assert caught.value.retryable
    link.close()
