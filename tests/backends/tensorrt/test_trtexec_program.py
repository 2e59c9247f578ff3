"""The program that a board runs keeps to the Python of JetPack 4."""

import ast
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.sshd import LoopbackBoard

from autokd_edge.backends.tensorrt.trtexec import PROGRAM
from autokd_edge.backends.tensorrt.trtexec_program import ROWS_MOST, trace
from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.process import MOST_BYTES
from autokd_edge.devices.ssh import SshLink
from autokd_edge.errors import ConnectionLostError

NAMES = ("startEnqMs", "endEnqMs", "startComputeMs", "endComputeMs", "h2dMs", "computeMs", "d2hMs", "latencyMs")


class LongTrace:
    """A trace of so many rows, written while it is read: row n starts at n / 10 ms, and its time tells which it is."""

    def __init__(self, rows):
        self.pieces = self.written(rows)

    def written(self, rows):
        for start in range(0, rows, 500):
            numbers = range(start, min(start + 500, rows))
            body = "\n, ".join("{ " + ", ".join(f'"{name}" : {n / 10:.6g}' for name in NAMES) + " }" for n in numbers)
            yield ("[\n  " if start == 0 else "\n, ") + body
        yield "\n]\n"

    def read(self, _size):
        return next(self.pieces, "")


def test_the_program_is_python_3_6_and_its_standard_library():
    tree = ast.parse(PROGRAM.read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"contextlib", "ctypes", "json", "os", "shutil", "signal", "subprocess", "sys", "tempfile", "time", "typing"}
    # Syntax that ast lets through: 3.8 and 3.9 brought these names.
    assert not {"removeprefix", "removesuffix"} & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_of_a_long_trace_evenly_spaced_rows_are_kept_and_all_are_counted():
    rows, most = 100_000, 3000
    found = trace(LongTrace(rows), 0.0, most)
    assert found["rows"] == rows
    times = found["columns"]["computeMs"]
    assert most // 2 <= len(times) <= most
    (step,) = {round(10 * (after - before)) for before, after in itertools.pairwise(times)}
    assert step == -(-rows // len(times)) == 64
    # Percentiles of the kept rows are those of all, but for what lies between two kept ones.
    assert abs(statistics.median(times) - rows / 20) <= step / 10
    assert all(len(column) == len(times) for column in found["columns"].values())


def test_rows_of_the_warm_up_are_neither_kept_nor_counted():
    found = trace(LongTrace(5000), 100.0, 10**6)
    assert found["rows"] == len(found["columns"]["computeMs"]) == 4000
    assert found["columns"]["startComputeMs"][0] == 100.0


def test_a_long_trace_is_never_in_memory_as_a_whole():
    rows = 20_000  # of 190 bytes, and of 1 kB each where they are all decoded
    tracemalloc.start()
    try:
        trace(LongTrace(rows), 0.0, 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_the_answer_of_the_longest_traces_fits_through_the_link():
    columns = trace(LongTrace(2000), 0.0, 2000)["columns"]
    widest = {name: [12345.6789 + n for n in range(len(column))] for name, column in columns.items()}
    assert len(json.dumps(widest)) / 2000 * ROWS_MOST < MOST_BYTES / 2


def runs(pid):
    """Whether a process lives; one that ended may wait long for a parent that asks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(happened):
    """Wait for something; says whether it came within ten seconds."""
    deadline = time.monotonic() + 10
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)
    return happened()


def test_a_killed_client_leaves_neither_the_program_nor_trtexec_running(tmp_path):
    trtexec, pids = tmp_path / "trtexec", tmp_path / "pids"
    trtexec.write_text(f'#!/bin/sh\nread -r _ _ _ parent rest <"/proc/$$/stat"\necho "$parent $$ ." >{pids}\nexec sleep 60\n')
    trtexec.chmod(0o755)
    request = tmp_path / "request"
    request.write_text(json.dumps({"programs": [str(trtexec)], "jobs": [{"arguments": [], "exports": []}] * 2}))
    client = "import subprocess, sys; subprocess.run([sys.executable, sys.argv[1]], stdin=open(sys.argv[2]))"
    with subprocess.Popen([sys.executable, "-c", client, PROGRAM, request], stdout=subprocess.DEVNULL) as parent:
        try:
            assert until(lambda: pids.exists() and pids.read_text().endswith(".\n"))
            started = list(map(int, pids.read_text().split()[:2]))
            assert all(map(runs, started))
        finally:
            parent.kill()
    try:
        assert until(lambda: not any(map(runs, started)))
    finally:
        for pid in filter(runs, started):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_run_that_was_cut_off_leaves_no_trace_on_the_board(tmp_path):
    trtexec, named = tmp_path / "trtexec", tmp_path / "named"
    trtexec.write_text(f'#!/bin/sh\necho "[" >"$1"\necho "$1" >{named}.part\nmv {named}.part {named}\nexec sleep 60\n')
    trtexec.chmod(0o755)
    jobs = [{"arguments": ["{times}"], "exports": ["times"]}]
    request = json.dumps({"programs": [str(trtexec)], "jobs": jobs}).encode()
    with LoopbackBoard(tmp_path / "board") as board:
        link = SshLink(SshConnection(ssh_address(board.device), client=board.ssh), patience_s=())
        argv = [sys.executable, str(PROGRAM)]
        with ThreadPoolExecutor(1) as others:
            running = others.submit(link.run, argv, stdin=request, timeout_s=60.0)
            assert until(named.exists)
            trace = Path(named.read_text().strip())
            assert trace.exists()
            board.cut()
            with pytest.raises(ConnectionLostError):
                running.result()
        assert until(lambda: not trace.parent.exists())
        link.close()
