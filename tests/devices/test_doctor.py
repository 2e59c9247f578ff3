"""What a doctor makes of what devices say."""

from dataclasses import replace

import pytest
from fakes.backend import FAKE_FINGERPRINT
from fakes.samples import sample

from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.doctor import examine, facts_of_doctor
from autokd_edge.devices.link import LocalLink

N100, _ = load_target("intel-n100")
HOST, _ = load_target("host")
MACHINE = replace(
    FAKE_FINGERPRINT,
    processor="Intel(R) N100",
    isa_flags=N100.isa_flags,
    cores=4,
    memory_bytes=16 * 2**30,
    available_bytes=8 * 2**30,
)
GOOD = {
    "programs": "/usr/bin/sha256sum\n/usr/bin/flock\n/usr/bin/xargs\n/usr/bin/du\n/usr/bin/find\n/usr/bin/python3\n",
    "free disk": "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 30000000 1000 20000000 1% /\n",
}


def seen(machine=MACHINE, facts=None, target=N100, device="ssh://board"):
    return {finding.what: finding for finding in examine(target, machine, {**GOOD, **(facts or {})}, device=device)}


def test_a_device_as_its_descriptor_says_has_nothing_wrong():
    findings = seen()
    assert {finding.weight for finding in findings.values()} == {"ok"}
    assert findings["ISA flags"].descriptor == findings["ISA flags"].device == "sse4_2 avx avx2 fma f16c avx_vnni"
    assert findings["memory"].device == "16.0 GiB"
    assert findings["free disk"].device == "19.1 GiB"


def test_what_differs_from_the_descriptor_is_wrong_and_both_are_said():
    findings = seen(replace(MACHINE, machine="aarch64", cores=8, isa_flags=("asimd",)))
    wrong = {what: (finding.descriptor, finding.device) for what, finding in findings.items() if finding.weight == "wrong"}
    assert wrong["architecture"] == ("x86_64", "aarch64")
    assert wrong["cores"] == ("4", "8")
    assert wrong["ISA flags"][1].startswith("asimd (without sse4_2 avx")
    assert "must run on x86_64; the machine is aarch64" in wrong["target"][1]


def test_a_device_with_another_chip_is_wrong():
    findings = seen(replace(MACHINE, processor="Intel(R) N97"))
    assert (findings["processor"].weight, findings["processor"].device) == ("wrong", "Intel(R) N97")
    assert findings["target"].device == "target 'intel-n100' must have the chip 'Intel(R) N100'; the machine says 'Intel(R) N97'"


def test_a_target_that_is_read_from_the_machine_differs_in_nothing():
    findings = seen(replace(MACHINE, cores=64), target=HOST)
    assert {finding.weight for finding in findings.values()} == {"ok"}
    assert (findings["cores"].descriptor, findings["cores"].device) == ("read from it", "64")


def test_clocks_that_wander_heat_and_throttling_are_noted_with_what_mends_them():
    hot = replace(MACHINE, governor="ondemand", temperature_c=82.0, clock_khz=600_000, throttled=("under-voltage",))
    findings = seen(hot, {"vcgencmd get_throttled": "throttled=0x50001"})
    notes = {what: finding for what, finding in findings.items() if finding.weight == "note"}
    assert set(notes) == {"governor", "temperature", "throttling"}
    assert "scaling_governor" in notes["governor"].mend
    assert notes["temperature"].device == "82.0 °C"
    assert notes["throttling"].device == "now: under-voltage; since the start: under-voltage, throttled"
    assert findings["clocks"].device == "CPU 600 MHz"


def test_clocks_that_nobody_can_hold_have_no_command_that_mends_them():
    governor = seen(replace(MACHINE, governor="unknown"))["governor"]
    assert (governor.weight, governor.device, governor.mend) == ("note", "unknown: its clocks cannot be held still from here", "")


def test_another_memory_and_a_slower_power_mode_are_noted():
    nano, _ = load_target("jetson-nano")
    board = replace(MACHINE, machine="aarch64", isa_flags=("asimd",), power_mode="5W", memory_bytes=2 * 2**30)
    findings = seen(board, target=nano)
    memory, mode = findings["memory"], findings["power mode"]
    assert (memory.weight, memory.descriptor, memory.device) == ("note", "4.0 GiB", "2.0 GiB: a board with another memory than described")
    assert (mode.weight, mode.descriptor, mode.device) == ("note", "MAXN", "5W")
    assert mode.mend == r"sudo nvpmodel -m $(grep -oP 'ID=\K[0-9]+(?= NAME=MAXN )' /etc/nvpmodel.conf)"
    whole = replace(board, power_mode="MAXN", memory_bytes=4_156_628_992)  # as the kernel of a Nano with 4 GB counts it
    assert {seen(whole, target=nano)[what].weight for what in ("memory", "power mode")} == {"ok"}


def test_an_emulator_and_a_hypervisor_are_noted():
    findings = seen(replace(MACHINE, emulated=True, virtual=True, cores=2))
    assert "never measured" in findings["emulated"].device
    assert (findings["cores"].weight, findings["cores"].device) == ("ok", "2, of the machine under it")
    assert findings["virtual machine"].weight == "note"


def test_a_program_that_is_missing_is_wrong_on_another_device_alone():
    facts = {"programs": "/usr/bin/sha256sum\n/usr/bin/xargs\n/usr/bin/du\n"}
    finding = seen(facts=facts)["programs"]
    assert (finding.weight, finding.device, finding.mend) == ("wrong", "without flock, find", "apt-get install util-linux findutils")
    assert "programs" not in seen(facts=facts, device=None)


def test_a_full_disk_is_noted():
    disk = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/mmcblk0p2 30000000 29990000 10000 99% /\n"
    assert seen(facts={"free disk": disk})["free disk"].weight == "note"


@pytest.mark.reference
def test_a_jetson_says_its_release_its_clocks_and_its_hottest_sensor():
    lines = dict(line.split("\t", 1) for line in sample("tegrastats_lines.txt").splitlines() if "\t" in line)
    facts = {
        "/proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\n",
        "/etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64\n",
        "tegrastats": lines["ji1206-nano-2"],
        "programs": GOOD["programs"] + "/usr/src/tensorrt/bin/trtexec\n",
    }
    findings = seen(replace(MACHINE, power_mode="MAXN"), facts)
    assert "NVIDIA Jetson Nano Developer Kit" in findings["processor"].device
    assert findings["system"].device.endswith("L4T R32.7.1")
    assert findings["clocks"].device == "CPU 1479 MHz, GPU 921 MHz"
    assert findings["temperature"].device == "47.5 °C"
    assert findings["power mode"].device == "MAXN"
    assert findings["trtexec"].device == "/usr/src/tensorrt/bin/trtexec"


def test_this_machine_says_which_programs_it_has_and_how_much_room():
    facts = facts_of_doctor(LocalLink())
    assert "sha256sum" in facts["programs"]
    findings = seen(facts=facts)
    assert findings["free disk"].device.endswith("GiB")
