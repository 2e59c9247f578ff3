"""What every Link keeps; an adapter's test class inherits it and gives the fixture ``link``."""

import time

import pytest

from autokd_edge.errors import MeasureError, TimedOutError

HOSTILE = ["$(echo no); rm *", "`id`", "a'b", 'a"b', "", "-n", "--", "*", "a\nb", "~", "a\\b", "!!", "ä ö", "&& exit 7", "#", "${HOME}"]


class LinkContract:
    def test_stdin_stdout_stderr_and_status_come_through(self, link):
        finished = link.run(["sh", "-c", "rev; echo why >&2; exit 3"], stdin=b"abc\n", timeout_s=20)
        assert (finished.status, finished.stdout, finished.stderr) == (3, b"cba\n", b"why\n")

    def test_an_argument_is_never_read_by_a_shell(self, link):
        finished = link.run(["printf", "%s\\0", *HOSTILE], stdin=b"", timeout_s=20)
        assert finished.stdout.decode().split("\0") == [*HOSTILE, ""]

    def test_bytes_are_not_touched(self, link):
        data = bytes(range(256)) * 5000
        assert link.run(["cat"], stdin=data, timeout_s=20).stdout == data

    def test_a_signal_that_ends_a_program_is_a_negative_status(self, link):
        assert link.run(["sh", "-c", "kill -SEGV $$"], stdin=b"", timeout_s=20).status == -11

    @pytest.mark.parametrize("status", [1, 127, 255])
    def test_a_status_of_the_program_is_its_own(self, link, status):
        assert link.run(["sh", "-c", f"exit {status}"], stdin=b"", timeout_s=20).status == status

    def test_a_program_that_is_not_there_is_a_measure_error(self, link):
        with pytest.raises(MeasureError, match="'/no/such/program' could not be started") as caught:
            link.run(["/no/such/program"], stdin=b"", timeout_s=20)
        assert not caught.value.retryable

    def test_a_program_that_reads_nothing_of_a_long_request_still_ends_well(self, link):
        assert link.run(["true"], stdin=b"x" * 1_000_000, timeout_s=20).status == 0

    def test_a_program_that_hangs_is_ended_in_time_with_all_that_it_started_and_says_its_last_words(self, link, tmp_path):
        alive, start = tmp_path / "alive", time.monotonic()
        code = 'echo compiling layer 7 >&2; (while :; do date >"$0"; sleep 0.05; done) & sleep 60'
        with pytest.raises(TimedOutError, match=r"'sh' must end within 1 s.*compiling layer 7") as caught:
            link.run(["sh", "-c", code, str(alive)], stdin=b"", timeout_s=1)
        assert caught.value.retryable
        assert time.monotonic() - start < 20
        assert alive.exists()
        alive.unlink()
        time.sleep(0.3)
        assert not alive.exists()

    @pytest.mark.parametrize("stream", ["1", "2"])
    def test_a_program_that_says_100_mb_is_ended(self, link, stream):
        with pytest.raises(MeasureError, match="must say at most 64 MiB; it was ended"):
            link.run(["sh", "-c", f"head -c 100000000 /dev/zero >&{stream}; sleep 60"], stdin=b"", timeout_s=30)

    def test_a_file_is_there_by_its_name_and_comes_back(self, link, tmp_path):
        path = tmp_path / "a b'$(c).txt"
        path.write_bytes(b"\0\1" * 300_000)
        there = link.push(path)
        assert there.endswith("/a b'$(c).txt")
        assert link.run(["cat", there], stdin=b"", timeout_s=20).stdout == path.read_bytes()
        link.pull(there, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == path.read_bytes()

    def test_a_file_that_is_not_there_can_be_neither_pushed_nor_pulled(self, link, tmp_path):
        with pytest.raises(MeasureError, match="must exist"):
            link.push(tmp_path / "none")
        with pytest.raises(MeasureError, match="could not be fetched"):
            link.pull(str(tmp_path / "none"), tmp_path / "out")

    def test_what_a_program_makes_in_its_place_is_fetched(self, link, tmp_path):
        out = tmp_path / "made.bin"
        place = link.place(out)
        link.run(["sh", "-c", 'echo made >"$1"', "sh", place], stdin=b"", timeout_s=20)
        link.pull(place, out)
        assert out.read_bytes() == b"made\n"

    def test_a_place_for_a_file_that_cannot_be_written_here_is_refused(self, link, tmp_path):
        with pytest.raises(MeasureError, match="could not be written"):
            link.place(tmp_path / "no folder" / "out")

    def test_python_starts(self, link):
        assert link.run([*link.python, "-c", "print(6 * 7)"], stdin=b"", timeout_s=60).stdout == b"42\n"
