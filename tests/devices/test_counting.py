"""Counting a whole program on a board: what the board says, and what is no count."""

import pytest

from autokd_edge.devices.counting import instructions_of
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import MeasureError


@pytest.fixture
def counter(tmp_path, monkeypatch):
    """A program by the counter's name that runs another and writes a count: the bytes of 513."""

    def offer(count: str):
        program = tmp_path / "autokd-count-instructions"
        program.write_text(f'#!/bin/sh\n"$@" || exit\nprintf "{count}" >"$AUTOKD_EDGE_COUNTER"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setenv("TMPDIR", str(tmp_path))

    return offer


def test_the_count_is_what_the_emulator_left_in_the_file_and_the_file_is_removed(counter, tmp_path):
    counter(r"\001\002\000\000\000\000\000\000")
    assert instructions_of(LocalLink(), ["/bin/echo", "not 7 but the count"], timeout_s=10) == 513
    assert [path.name for path in tmp_path.iterdir()] == ["autokd-count-instructions"]


@pytest.mark.parametrize(
    ("count", "program"), [("", "/bin/true"), (r"\000\000\000\000\000\000\000\000", "/bin/true"), (r"\001", "/bin/false")]
)
def test_no_count_and_a_program_that_fails_are_failures_and_no_numbers(counter, count, program):
    counter(count)
    with pytest.raises(MeasureError, match="an emulator must count"):
        instructions_of(LocalLink(), [program], timeout_s=10)
