"""What a machine says of itself, here and over a link."""

import pytest
from fakes.link import FakeLink

from autokd_edge.devices.facts import GOVERNOR, UNAME, facts_here, facts_over, matching
from autokd_edge.devices.fingerprint import fingerprint_over, read_fingerprint
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import UnreachableError
from autokd_edge.ports import Finished

CHANGING = {"available_bytes", "clock_khz", "temperature_c"}


def still(fingerprint):
    return {name: getattr(fingerprint, name) for name in fingerprint.__slots__ if name not in CHANGING}


def test_a_machine_says_the_same_directly_and_by_a_shell():
    assert still(fingerprint_over(LocalLink())) == still(read_fingerprint())
    assert facts_over(LocalLink())["/proc/meminfo"].split()[0] == "MemTotal:"


@pytest.mark.slow
def test_a_machine_says_the_same_over_ssh(link):
    assert still(fingerprint_over(link)) == still(read_fingerprint())


def test_a_device_without_a_shell_is_unreachable():
    link = FakeLink(lambda _argv, _request: Finished(status=127, stdout=b"", stderr=b"sh: not found\n"))
    link.run = lambda argv, *, stdin, timeout_s: Finished(status=127, stdout=b"", stderr=b"sh: not found\n")  # noqa: ARG005  the port's
    with pytest.raises(UnreachableError, match="must run a POSIX shell; sh: not found"):
        facts_over(link)


def test_files_of_a_pattern_are_found_wherever_they_were_read(tmp_path):
    for core in range(2):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("ondemand\n")
    facts = facts_here(tmp_path, "aarch64")
    assert matching(facts, GOVERNOR) == ["ondemand", "ondemand"]
    assert facts[UNAME].split()[-1] == "aarch64"
