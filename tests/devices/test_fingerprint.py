"""What a machine says of itself, read from folders that look like one."""

from dataclasses import replace
from pathlib import Path

import pytest

from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
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
    with pytest.raises(TargetError, match="with 8 cores"):
        target_here(n100, machine(tmp_path / "larger", cores=8))
