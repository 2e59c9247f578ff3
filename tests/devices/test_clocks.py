"""Holding the clocks of a device still, with files that look like the kernel's."""

import os

import pytest
from fakes.link import FakeLink

from autokd_edge.devices.clocks import clocks_held, clocks_locked
from autokd_edge.devices.device import Device
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import ConnectionLostError
from autokd_edge.ports import Finished


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


def test_what_could_not_be_put_back_is_said_and_hides_no_error(caplog):
    answers = iter([Finished(status=0, stdout=b"governor\n/x=ondemand\n", stderr=b""), ConnectionLostError("gone")])
    link = FakeLink(None)
    link.run = lambda argv, *, stdin, timeout_s: raised_or(next(answers))  # noqa: ARG005  the port's signature
    with pytest.raises(ZeroDivisionError), clocks_held(Device(link=link, lease=None, fingerprint=None)):
        raise ZeroDivisionError
    assert caplog.messages == ["the clocks of 'this machine' could not be put back, a restart does: gone"]


def raised_or(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_what_is_not_permitted_is_a_warning_and_the_work_is_done(caplog):
    link = FakeLink(None)
    link.run = lambda argv, *, stdin, timeout_s: Finished(status=1, stdout=b"", stderr=b"sudo: a password is required\n")  # noqa: ARG005
    with clocks_held(Device(link=link, lease=None, fingerprint=None)):
        done = True
    assert done
    assert caplog.messages == ["the clocks of 'this machine' are not locked: sudo: a password is required"]
