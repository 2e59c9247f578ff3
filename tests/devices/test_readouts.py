"""What the tools of boards print, as they really printed it."""

import pytest
from fakes.jetson_tools import CONF
from fakes.samples import sample

from autokd_edge.devices.readouts import TegraState, power_mode, power_modes, tegra_state, throttled_before, throttled_now


@pytest.mark.reference
def test_a_raspberry_pi_says_what_held_its_clocks_down_since_it_was_started():
    said = sample("raspberry_pi_vcgencmd.txt")
    line = next(line for line in said.splitlines() if line.startswith("throttled=0x50000"))
    assert throttled_now(line) == ()
    assert throttled_before(line) == ("under-voltage", "throttled")


@pytest.mark.parametrize(
    ("said", "now", "before"),
    [
        ("throttled=0x0", (), ()),
        ("throttled=0x50005", ("under-voltage", "throttled"), ("under-voltage", "throttled")),
        ("throttled=0xd0000", (), ("under-voltage", "throttled", "soft temperature limit")),
        ("throttled=0x2", ("clock capped",), ()),
        ("VCHI initialization failed", (), ()),
    ],
)
def test_each_bit_of_a_raspberry_pi_has_its_meaning(said, now, before):
    assert (throttled_now(said), throttled_before(said)) == (now, before)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("label", "state"),
    [
        ("dd-tx1", TegraState(memory_used_mb=1179, memory_mb=3983, cores_on=4, cores_off=0, cpu_mhz=102, gpu_percent=0, gpu_mhz=76,
                              temperature_c=42.75, power_mw=2532)),
        ("dd-tx2", TegraState(memory_used_mb=2344, memory_mb=7852, cores_on=4, cores_off=2, cpu_mhz=345, gpu_percent=0, gpu_mhz=624,
                              temperature_c=37.5, power_mw=3056)),
        ("dd-nano", TegraState(memory_used_mb=534, memory_mb=3964, cores_on=4, cores_off=0, cpu_mhz=204, gpu_percent=0, gpu_mhz=76,
                               temperature_c=39.5, power_mw=1022)),
        ("dd-agx-orin-r36", TegraState(memory_used_mb=29114, memory_mb=30697, cores_on=12, cores_off=0, cpu_mhz=2201, gpu_percent=0,
                                       gpu_mhz=305, temperature_c=53.062, power_mw=4767)),
        ("exp-xaviernx-jp512", TegraState(memory_used_mb=3168, memory_mb=6851, cores_on=6, cores_off=0, cpu_mhz=1397, gpu_percent=0,
                                          gpu_mhz=114, temperature_c=46.5, power_mw=2763)),
        ("orin-nano-load-1", TegraState(memory_used_mb=6677, memory_mb=7620, cores_on=6, cores_off=0, cpu_mhz=960, gpu_percent=33,
                                        gpu_mhz=None, temperature_c=52.812, power_mw=6167)),
        ("tx1-old-l4t28", TegraState(memory_used_mb=3468, memory_mb=3983, cores_on=4, cores_off=0, cpu_mhz=408, gpu_percent=3,
                                     gpu_mhz=76, temperature_c=None, power_mw=None)),
    ],
)  # fmt: skip
def test_a_line_of_tegrastats_is_read_as_it_was_printed(label, state):
    lines = dict(line.split("\t", 1) for line in sample("tegrastats_lines.txt").splitlines() if "\t" in line)
    assert tegra_state(lines[label]) == state


@pytest.mark.reference
def test_every_line_of_tegrastats_is_read():
    lines = [line.split("\t", 1)[1] for line in sample("tegrastats_lines.txt").splitlines() if "\t" in line and not line.startswith("#")]
    states = [tegra_state(line) for line in lines]
    assert len(states) >= 20
    assert None not in states
    assert all(0 < state.memory_used_mb <= state.memory_mb and state.cores_on >= 2 and state.gpu_percent is not None for state in states)
    degrees = [state.temperature_c for state in states if state.temperature_c is not None]
    assert len(degrees) == len(states) - 1
    assert all(20 < value < 60 for value in degrees)  # PMIC's constant 100 is no temperature


def test_what_is_no_line_of_tegrastats_is_none():
    assert tegra_state("tegrastats: command not found") is None


def test_the_power_mode_is_the_one_that_nvpmodel_names():
    assert power_mode("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0\n") == "MAXN"
    assert power_mode("NV Power Mode: 15W_2CORE\n1\n") == "15W_2CORE"
    assert power_mode("") == ""


def test_the_power_modes_are_those_of_its_file_without_the_comments():
    assert power_modes(CONF) == ("15W", "7W", "MAXN_SUPER")
    assert power_modes("<POWER_MODEL ID=0 NAME=MAXN>\n") == ("MAXN",)
    assert power_modes("") == ()
