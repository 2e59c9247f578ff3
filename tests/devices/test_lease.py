"""One measurer at a time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autokd_edge.devices.lease import Lease, default_lease_path
from autokd_edge.errors import MeasureError

HOLDER = """
import sys, time
from pathlib import Path
from autokd_edge.devices.lease import Lease
with Lease(Path(sys.argv[1])).hold("measuring by protocol 'final'"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "deep" / "lock")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_who_waits_too_long_is_told_who_measures(holder, tmp_path):
    lease = Lease(tmp_path / "deep" / "lock", wait_s=0.2)
    with pytest.raises(MeasureError, match=rf"process {holder.pid} \(measuring by protocol 'final'\).*0\.2 s") as caught, lease.hold("me"):
        pass
    assert caught.value.retryable


def test_who_waits_is_told_once_for_whom(holder, tmp_path, caplog):
    lease = Lease(tmp_path / "deep" / "lock", wait_s=0.4, patience_s=0.1)
    with pytest.raises(MeasureError), lease.hold("me"):
        pass
    said = f"waiting to measure: one measures at a time, and process {holder.pid} (measuring by protocol 'final') does"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_a_holder_that_dies_frees_the_lease(holder, tmp_path):
    holder.kill()
    with Lease(tmp_path / "deep" / "lock", wait_s=10).hold("me"):
        pass


def test_the_lease_is_free_again_after_an_error_inside(tmp_path):
    lease = Lease(tmp_path / "lock", wait_s=0)
    with pytest.raises(ZeroDivisionError), lease.hold("me"):
        _ = 1 / 0
    with lease.hold("me again"):
        assert "me again" in (tmp_path / "lock").read_text()


def test_one_process_cannot_hold_it_twice(tmp_path):
    start = time.monotonic()
    with Lease(tmp_path / "lock").hold("first"), pytest.raises(MeasureError), Lease(tmp_path / "lock", wait_s=0.1).hold("second"):
        pass
    assert 0.1 <= time.monotonic() - start < 5


def test_a_lock_file_that_cannot_be_written_is_a_measure_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MeasureError, match="could not be opened"), Lease(tmp_path / "file" / "lock").hold("me"):
        pass


def test_the_default_lease_is_one_for_all_users_of_the_machine():
    assert default_lease_path().is_absolute()
    if os.geteuid() == 0:
        assert default_lease_path() == Path("/var/lock/autokd-edge/here")
