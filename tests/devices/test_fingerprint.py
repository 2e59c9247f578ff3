"""What a machine says of itself, read from folders that look like one."""

from dataclasses import replace
from pathlib import Path

import pytest

from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.facts import COUNTER, EMULATED, INTERPRETER, UNAME
from autokd_edge.devices.fingerprint import fingerprint_of, read_fingerprint, target_here
from autokd_edge.errors import TargetError

N100_FLAGS = "fpu sse4_2 avx f16c fma avx2 avx_vnni xsavec"


def machine(root: Path, *, flags=N100_FLAGS, cores=4, model="Intel(R) N100", governor="performance"):
    (root / "proc").mkdir(parents=True)
    (root / "etc").mkdir()
    processors = [f"processor\t: {index}\nmodel name\t: {model}\nflags\t\t: {flags}\n" for index in range(cores)]
    (root / "proc/cpuinfo").write_text("\n".join(processors))
    (root / "proc/meminfo").write_text("MemTotal:       16142336 kB\nMemFree:         1 kB\n")
    (root / "etc/os-release").write_text('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    for index in range(cores if governor else 0):
        folder = root / f"sys/devices/system/cpu/cpu{index}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
    return read_fingerprint(root, "x86_64")


def test_an_n100_is_read_as_one(tmp_path):
    found = machine(tmp_path)
    assert (found.machine, found.processor, found.cores) == ("x86_64", "Intel(R) N100", 4)
    assert found.isa_flags == ("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni")
    assert found.memory_bytes == 16142336 * 1024
    assert found.governor == "performance"
    assert "Debian GNU/Linux 12" in found.system
    assert not found.virtual


def test_a_hypervisor_and_a_silent_governor_are_said(tmp_path):
    found = machine(tmp_path, flags=f"{N100_FLAGS} hypervisor", governor="")
    assert found.virtual
    assert found.governor == "unknown"


def test_an_arm_board_names_its_features_and_model(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp\n")
    found = read_fingerprint(tmp_path, "aarch64")
    assert found.processor == "Raspberry Pi 5 Model B Rev 1.0"
    assert found.isa_flags == ("asimd", "asimdhp", "asimddp")


def test_this_machine_has_cores_memory_and_a_system():
    found = read_fingerprint()
    assert found.cores >= 1
    assert found.memory_bytes > 2**28
    assert found.system.startswith("Linux ")


def test_the_host_target_takes_its_facts_from_the_machine(tmp_path):
    host, _ = load_target("host")
    found = target_here(host, machine(tmp_path))
    assert (found.probe, found.cores, found.int8_saturates) == (False, 4, False)
    assert "avx_vnni" in found.isa_flags
    assert found.memory_bytes % 2**28 == 0
    assert 0 < found.memory_bytes <= 16142336 * 1024


def test_without_vnni_int8_saturates(tmp_path):
    host, _ = load_target("host")
    assert target_here(host, machine(tmp_path, flags="sse4_2 avx avx2 fma f16c")).int8_saturates


def test_bf16_is_kept_only_where_the_processor_computes_in_it(tmp_path):
    host, _ = load_target("host")
    bf16 = Variant(backend="openvino", precision="bf16")
    asked = replace(host, variants=(*host.variants, bf16))
    assert bf16 not in target_here(asked, machine(tmp_path / "without")).variants
    assert bf16 in target_here(asked, machine(tmp_path / "with", flags=f"{N100_FLAGS} avx512_bf16")).variants


def test_another_architecture_is_refused(tmp_path):
    host, _ = load_target("host")
    with pytest.raises(TargetError, match="x86_64; the machine is aarch64"):
        target_here(host, replace(machine(tmp_path), machine="aarch64"))


def test_a_written_target_is_refused_on_a_machine_that_is_none(tmp_path):
    n100, _ = load_target("intel-n100")
    assert target_here(n100, machine(tmp_path / "n100")) == n100
    with pytest.raises(TargetError, match=r"must have 4 cores.*8 cores, without avx_vnni.*--target host"):
        target_here(n100, machine(tmp_path / "other", cores=8, flags="sse4_2 avx avx2 fma f16c"))
    with pytest.raises(TargetError, match="without avx_vnni"):
        target_here(n100, machine(tmp_path / "older", flags="sse4_2 avx avx2 fma f16c"))
    with pytest.raises(TargetError, match="with 8 cores") as caught:
        target_here(n100, machine(tmp_path / "larger", cores=8))
    assert all(way in caught.value.hint for way in ("--device ssh://user@host", "--predict recorded", "--target host"))


@pytest.mark.parametrize(
    ("compatible", "refused"),
    [
        ("raspberrypi,4-model-b brcm,bcm2711", False),
        ("raspberrypi,model-zero-2-w brcm,bcm2837", True),
        ("", False),  # a virtual machine says nothing of a chip
    ],
)
def test_a_board_with_as_many_cores_and_another_chip_is_refused(tmp_path, compatible, refused):
    pi4, _ = load_target("raspberry-pi-4")
    board = replace(machine(tmp_path), machine="aarch64", isa_flags=("asimd",), cores=4, processor="unknown", compatible=compatible)
    if not refused:
        assert target_here(pi4, board) == pi4
        return
    with pytest.raises(TargetError, match=r"must have the chip 'brcm,bcm2711'; the machine says 'raspberrypi,model-zero-2-w brcm,bcm2837'"):
        target_here(pi4, board)


def test_what_a_device_tree_says_of_its_board_is_read(tmp_path):
    tree = tmp_path / "proc" / "device-tree"
    machine(tmp_path)
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "compatible").write_bytes(b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert read_fingerprint(tmp_path, "aarch64").compatible == "raspberrypi,5-model-b brcm,bcm2712"


def test_a_jetson_whose_mode_switches_cores_off_is_told_how_to_switch_them_on(tmp_path):
    nano, _ = load_target("jetson-nano")
    slow = replace(machine(tmp_path), machine="aarch64", isa_flags=("asimd",), cores=2, power_mode="5W")
    with pytest.raises(TargetError, match=r"must have 4 cores.*with 2 cores") as caught:
        target_here(nano, slow)
    assert "the board is in 5W. On the board: sudo nvpmodel -m $(grep -oP" in caught.value.hint


X86_CPU = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: avx2 avx512_vnni hypervisor\n"


def test_programs_for_another_processor_than_the_one_that_the_kernel_shows_are_emulated():
    facts = {
        "uname -srm": "Linux 6.1.0 aarch64\n",
        "/proc/cpuinfo": X86_CPU,
        "auxiliary vector": "AT_HWCAP:    119fff\nAT_HWCAP2: 0x2000\n",
    }
    found = fingerprint_of(facts)
    assert (found.emulated, found.machine, found.processor) == (True, "aarch64", "emulated aarch64")
    assert found.isa_flags == ("asimd", "asimdhp", "asimddp", "i8mm")  # of what runs there, not of its host
    assert not fingerprint_of({**facts, "uname -srm": "Linux 6.1.0 x86_64\n"}).emulated
    assert fingerprint_of({**facts, "uname -srm": "Linux 6.1.0 x86_64\n", "/etc/autokd-edge-emulated": ""}).emulated


def test_a_hot_raspberry_pi_says_clocks_temperature_and_what_holds_it_down():
    facts = {
        "uname -srm": "Linux 6.1.0-rpi7-rpi-v8 aarch64\n",
        "/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n",
        "/proc/meminfo": "MemTotal: 8000 kB\nMemAvailable: 5000 kB\n",
        "/sys/class/thermal/thermal_zone0/temp": "81200\n",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "/sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "600000\n",
        "vcgencmd get_throttled": "throttled=0x50005\n",
    }
    found = fingerprint_of(facts)
    assert (found.emulated, found.temperature_c, found.clock_khz) == (False, 81.2, 1_500_000)
    assert found.throttled == ("under-voltage", "throttled")
    assert found.available_bytes == 5000 * 1024


ARM = {UNAME: "Linux 6.1 aarch64", "/proc/cpuinfo": "processor : 0\nFeatures : fp asimd\n"}


def header_of(machine):
    """The first 20 bytes of a program's file, as od prints them in two lines."""
    return f" 127  69  76  70   2   1   1   0   0   0   0   0   0   0   0   0\n   3   0  {machine}   0\n"


def test_a_board_whose_shell_is_a_program_for_arm_is_no_emulated_one():
    assert not fingerprint_of({**ARM, INTERPRETER: header_of(183)}).emulated
    assert not fingerprint_of({**ARM, INTERPRETER: header_of(40)}).emulated  # 32-bit programs under a 64-bit kernel
    assert not fingerprint_of({**ARM, INTERPRETER: ""}).emulated


@pytest.mark.parametrize(
    "sign",
    [{INTERPRETER: header_of(62)}, {EMULATED: "QEMU"}, {"/proc/cpuinfo": "processor : 0\nflags : fpu avx2\n"}],
)
def test_each_sign_alone_tells_an_emulator(sign):
    found = fingerprint_of({**ARM, **sign})
    assert (found.emulated, found.processor) == (True, "emulated aarch64")


def test_only_an_emulated_board_counts_instructions():
    offered = {**ARM, COUNTER: f"/usr/local/bin/{COUNTER}\n"}
    assert not fingerprint_of(offered).counts_instructions
    assert fingerprint_of({**offered, EMULATED: "QEMU"}).counts_instructions
    assert not fingerprint_of({**ARM, EMULATED: "QEMU", COUNTER: ""}).counts_instructions


def test_an_emulated_board_stands_for_a_target_whatever_cores_it_has_but_not_without_its_flags():
    pi, _ = load_target("raspberry-pi-4")
    told = {**ARM, EMULATED: "QEMU", "auxiliary vector": "AT_HWCAP: 8fb\nAT_HWCAP2: 0x0\n"}
    assert target_here(pi, fingerprint_of(told)) == pi
    with pytest.raises(TargetError, match="with 1 cores"):
        target_here(pi, replace(fingerprint_of(told), emulated=False))
    with pytest.raises(TargetError, match="without asimd"):
        target_here(pi, fingerprint_of({**told, "auxiliary vector": "AT_HWCAP: 0\n"}))
