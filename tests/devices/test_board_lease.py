"""One measurer at a time on a board, over a real sshd."""

import threading
import time
from pathlib import Path

import pytest

from autokd_edge.devices.board_lease import BoardLease
from autokd_edge.errors import ConnectionLostError, MeasureError

pytestmark = pytest.mark.slow


@pytest.fixture
def lease(link, tmp_path):
    def make(**options):
        return BoardLease(link, folder=str(tmp_path / "shared"), **{"wait_s": 0, **options})

    return make


def test_who_waits_too_long_is_told_who_measures(lease, link):
    with lease().hold("measuring by protocol 'final'"):
        expected = rf"one measures at a time on '{link.device}'; .* on .* \(measuring by protocol 'final'\) held it for more than 0 s"
        with pytest.raises(MeasureError, match=expected) as caught, lease().hold("me"):
            pass
    assert caught.value.retryable
    with lease().hold("me"):
        pass


def test_who_waits_is_told_once_for_whom(lease, link, caplog):
    with lease().hold("measuring by protocol 'final'"), pytest.raises(MeasureError), lease(wait_s=2.5, patience_s=0.5).hold("me"):
        pass
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"waiting to measure on '{link.device}': one measures at a time, and ")
    assert said.endswith("(measuring by protocol 'final') does")


def test_the_board_is_free_again_after_an_error_inside(lease):
    with pytest.raises(ZeroDivisionError), lease().hold("me"):
        _ = 1 / 0
    with lease().hold("me again"):
        pass


def test_who_waits_gets_it_when_it_is_free(lease):
    ended = []
    with lease().hold("first"):
        waiting = threading.Thread(target=lambda: ended.append(lease(wait_s=30).hold("second").__enter__()))
        waiting.start()
        time.sleep(0.5)
        assert ended == []
    waiting.join(20)
    assert ended == [None]


def test_a_heart_that_beats_keeps_the_board_longer_than_the_expiry(lease):
    with lease(expiry_s=2).hold("first"):
        time.sleep(3)
        with pytest.raises(MeasureError, match="held it"), lease(expiry_s=2).hold("second"):
            pass


def leave_behind(folder: Path, *, boot: str, uptime: float) -> None:
    """Write what a measurer that died leaves on a board."""
    folder.mkdir(parents=True)
    (folder / "owner").write_text(f"0123456789abcdef\n{boot}\nsomebody on elsewhere (measuring)\n")
    (folder / "beat").write_text(f"{uptime:.2f}\n")


def this_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def test_a_holder_that_crashed_loses_the_board_when_its_heart_stood_still_for_the_expiry(lease, tmp_path):
    leave_behind(tmp_path / "shared", boot=this_boot(), uptime=uptime() - 58)
    with pytest.raises(MeasureError, match=r"somebody on elsewhere \(measuring\)"), lease().hold("me"):
        pass
    with lease(wait_s=10).hold("me"):
        pass


def test_a_lock_from_before_the_board_was_started_anew_holds_nobody_up(lease, tmp_path):
    leave_behind(tmp_path / "shared", boot="another-boot", uptime=uptime() + 1e6)
    with lease().hold("me"):
        pass


def test_who_lost_the_board_in_the_middle_is_told_and_leaves_the_other_alone(lease, tmp_path):
    with pytest.raises(MeasureError, match="must be ours alone while we measure") as caught, lease().hold("me"):
        (tmp_path / "shared" / "owner").write_text(f"another\n{this_boot()}\nanother one\n")
    assert caught.value.retryable
    assert "another" in (tmp_path / "shared" / "owner").read_text()


def test_a_place_that_cannot_be_used_is_a_measure_error(link, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MeasureError, match="could not be used"), BoardLease(link, folder=str(tmp_path / "file")).hold("me"):
        pass


def test_a_board_that_is_lost_in_the_middle_is_not_waited_for_a_second_time(own_board, to_own, tmp_path):
    link = to_own(patience_s=(1.0,) * 4)
    lost = []

    def use_a_lost_board():
        with BoardLease(link, folder=str(tmp_path / "shared")).hold("me"):
            own_board.stop()
            lost.append(time.monotonic())
            link.run(["true"], stdin=b"", timeout_s=20)

    with pytest.raises(ConnectionLostError):
        use_a_lost_board()
    assert 4 <= time.monotonic() - lost[0] < 7.5
