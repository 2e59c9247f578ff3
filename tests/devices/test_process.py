"""Running a program of this machine."""

import sys

import pytest

from autokd_edge.devices.process import OverrunError, last_line, run_process


def test_stdout_can_be_taken_by_pieces_and_stdin_read_from_a_file(tmp_path):
    (tmp_path / "in").write_bytes(b"abc" * 100_000)
    pieces = []
    with (tmp_path / "in").open("rb") as stream:
        finished = run_process(["cat"], stdin=stream, timeout_s=10, stdout_to=pieces.append)
    assert finished.stdout == b""
    assert b"".join(pieces) == b"abc" * 100_000


def test_a_program_that_closes_its_streams_and_stays_is_ended_as_well():
    code = "import os, time; os.close(0); os.close(1); os.close(2); time.sleep(60)"
    with pytest.raises(OverrunError) as caught:
        run_process([sys.executable, "-c", code], stdin=b"x", timeout_s=1)
    assert (caught.value.law, caught.value.in_time) == ("must end within 1 s", False)


def test_what_a_program_said_before_it_was_ended_is_kept():
    with pytest.raises(OverrunError) as caught:
        run_process(["sh", "-c", "echo out; echo err >&2; sleep 60"], stdin=b"", timeout_s=0.5)
    assert (caught.value.stdout, caught.value.stderr) == (b"out\n", b"err\n")


def test_the_last_line_is_the_last_with_something_on_it():
    assert last_line(b"Traceback\n  cause \n\n \n") == "cause"
    assert last_line(b"\n\n") == ""
