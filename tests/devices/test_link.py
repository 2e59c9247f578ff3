"""The link to this machine."""

import sys
import time
from pathlib import Path

import pytest

from autokd_edge.devices.link import LocalLink
from autokd_edge.devices.process import last_line
from autokd_edge.errors import MeasureError

PYTHON = sys.executable


def run(code, *, stdin=b"", timeout_s=20.0):
    return LocalLink().run([PYTHON, "-c", code], stdin=stdin, timeout_s=timeout_s)


def test_stdin_stdout_stderr_and_status_come_through():
    finished = run("import sys; print(sys.stdin.read()[::-1]); print('why', file=sys.stderr); sys.exit(3)", stdin=b"abc")
    assert (finished.status, finished.stdout, finished.stderr) == (3, b"cba\n", b"why\n")


def test_an_argument_is_never_read_by_a_shell():
    finished = LocalLink().run([PYTHON, "-c", "import sys; print(sys.argv[1])", "$(echo no); rm *"], stdin=b"", timeout_s=20)
    assert finished.stdout == b"$(echo no); rm *\n"


def test_a_program_that_is_not_there_is_a_measure_error():
    with pytest.raises(MeasureError, match="could not be started") as caught:
        LocalLink().run(["/no/such/program"], stdin=b"", timeout_s=1)
    assert not caught.value.retryable


def test_a_program_that_hangs_is_ended_in_time_and_says_its_last_words():
    start = time.monotonic()
    with pytest.raises(MeasureError, match=r"within 0\.5 s.*compiling layer 7") as caught:
        LocalLink().run(["sh", "-c", "echo compiling layer 7 >&2; sleep 60"], stdin=b"", timeout_s=0.5)
    assert caught.value.retryable
    assert time.monotonic() - start < 10


@pytest.mark.slow
def test_what_a_hanging_program_started_is_ended_with_it(tmp_path: Path):
    sign = tmp_path / "alive"
    with pytest.raises(MeasureError):
        LocalLink().run(["sh", "-c", '(sleep 1; touch "$0") & sleep 60', str(sign)], stdin=b"", timeout_s=0.5)
    time.sleep(1)
    assert not sign.exists()


def test_a_program_that_reads_nothing_of_a_long_request_still_ends_well():
    assert run("pass", stdin=b"x" * 1_000_000).status == 0


def test_files_stay_where_they_are(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"1")
    remote = LocalLink().push(path)
    LocalLink().pull(remote, path)
    LocalLink().pull(remote, tmp_path / "copy")
    assert path.read_bytes() == (tmp_path / "copy").read_bytes() == b"1"


def test_a_file_that_is_not_there_can_be_neither_pushed_nor_pulled(tmp_path: Path):
    with pytest.raises(MeasureError, match="must exist"):
        LocalLink().push(tmp_path / "none")
    with pytest.raises(MeasureError, match="could not be fetched"):
        LocalLink().pull(str(tmp_path / "none"), tmp_path / "out")


def test_the_last_line_is_the_last_with_something_on_it():
    assert last_line(b"Traceback\n  cause \n\n \n") == "cause"
    assert last_line(b"\n\n") == ""
