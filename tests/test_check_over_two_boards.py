"""A pool of two boards behind two real sshds with the real runtime, one of them lost in the middle; takes some minutes."""

import json
import os
import shutil
import threading
import time
from importlib.util import find_spec

import pytest
from fakes.command import run_apart
from fakes.sshd import LoopbackBoard

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: pip install 'autokd-edge[openvino]'"),
]
ARGV = (
    "check",
    "--data",
    "digits",
    "--teacher",
    "example:digits",
    "--max-latency",
    "20x",
    "--family",
    "mbconv",
    "--probes",
    "16",
    "--json",
)


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two boards, and one client that knows the keys of both."""
    with LoopbackBoard(tmp_path / "one") as one, LoopbackBoard(tmp_path / "two") as other:
        config = tmp_path / "ssh_config"
        for board in (one, other):
            board.give_runtimes()
            with config.open("a") as stream:
                stream.write(f'Match exec "test %p = {board.port}"\n  IdentityFile {board.folder}/user\n  IdentitiesOnly yes\n')
                stream.write(f"  UserKnownHostsFile {board.folder}/known\n  GlobalKnownHostsFile none\n")
        client = tmp_path / "bin" / "ssh"
        client.parent.mkdir()
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
        client.chmod(0o755)
        monkeypatch.setenv("PATH", f"{client.parent}{os.pathsep}{os.environ['PATH']}")
        yield one, other


def test_a_board_that_is_lost_is_named_and_every_candidate_is_measured(two, tmp_path):
    one, other = two
    stop = threading.Event()

    def lose():
        while not (other.cache / "autokd-edge" / "files").is_dir() and not stop.wait(0.2):
            pass
        time.sleep(15)  # a few candidates long
        other.stop()

    loser = threading.Thread(target=lose)
    loser.start()
    done = run_apart(*ARGV, "--device", one.device, "--device", other.device, folder=tmp_path)
    stop.set()
    loser.join()
    assert done.status in {0, 3}, done
    document = json.loads(done.out)
    assert document["probed"] == document["measured"] == 16
    assert f"{other.device}: the connection to '{other.device}' broke" in document["boards put aside"]
    assert one.device not in document["boards put aside"].replace(other.device, "")
    assert f"board {other.device} was put aside" in done.err
