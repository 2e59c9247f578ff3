"""Holding the clocks of a device still, with files that look like the kernel's."""

import os

import pytest
from fakes.link import FakeLink

from autokd_edge.devices.clocks import clocks_locked
from autokd_edge.devices.link import LocalLink


@pytest.fixture
def governors(tmp_path):
    paths = [tmp_path / f"cpu{core}" / "cpufreq" / "scaling_governor" for core in range(3)]
    for path, governor in zip(paths, ("ondemand", "ondemand", "powersave"), strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(f"{governor}\n")
    return paths


def said(paths):
    return [path.read_text().strip() for path in paths]


@pytest.mark.skipif(os.geteuid() != 0, reason="without root this asks sudo")
def test_governors_are_held_and_put_back_also_after_an_error(governors, tmp_path):
    seen = []

    def measure():
        with clocks_locked(LocalLink(), cores=str(tmp_path)) as how:
            seen.extend((how, *said(governors)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure()
    assert seen == ["locked by governor, and restored", *["performance"] * 3]
    assert said(governors) == ["ondemand", "ondemand", "powersave"]


def test_a_machine_without_governors_is_left_alone(tmp_path):
    with clocks_locked(LocalLink(), cores=str(tmp_path)) as how:
        assert how == "not locked: the machine has no governor"


def test_a_jetsons_own_tool_comes_first_and_is_given_what_it_stored(governors, tmp_path):
    """The tool is a script that notes how it was called, on a device whose PATH begins with it."""
    tools, calls = tmp_path / "bin", tmp_path / "calls"
    tools.mkdir()
    for name, body in (("jetson_clocks", f'echo "$1" >>{calls}'), ("id", "echo 0")):
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    link = FakeLink(lambda _argv, _request: None)
    link.run = lambda argv, *, stdin, timeout_s: LocalLink().run(
        ["env", f"PATH={tools}:{os.environ['PATH']}", *argv], stdin=stdin, timeout_s=timeout_s
    )
    with clocks_locked(link, cores=str(tmp_path)) as how:
        assert how == "locked by jetson_clocks, and restored"
        assert calls.read_text().split() == ["--store"]  # and a call with nothing behind it, which locks
        assert said(governors) == ["ondemand", "ondemand", "powersave"]
    assert calls.read_text().split() == ["--store", "--restore"]
