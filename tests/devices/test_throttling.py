"""What holds a Jetson's clocks down, read from folders that look like its kernel's."""

from dataclasses import replace

import pytest
from fakes.backend import FAKE_FINGERPRINT
from fakes.link import FakeLink

from autokd_edge.devices.facts import facts_here, facts_over
from autokd_edge.devices.fingerprint import read_fingerprint
from autokd_edge.devices.link import LocalLink
from autokd_edge.devices.throttling import gpu_clock, held_by_cooling, over_reading, throttle_events

ORIN = {
    "class/thermal/cooling_device0/type": "pwm-fan",
    "class/thermal/cooling_device0/cur_state": "3",
    "class/thermal/cooling_device1/type": "gpu-throttle-alert",
    "class/thermal/cooling_device1/cur_state": "0",
    "class/thermal/cooling_device2/type": "devfreq-17000000.gpu",
    "class/thermal/cooling_device2/cur_state": "0",
    "class/thermal/cooling_device10/type": "hot-surface-alert",
    "class/thermal/cooling_device10/cur_state": "1",
    "class/thermal/thermal_zone0/temp": "61500",
    "class/devfreq/13e40000.host1x/cur_freq": "204000000",
    "class/devfreq/17000000.gpu/cur_freq": "918000000",
    "class/devfreq/17000000.gpu/min_freq": "918000000",
    "class/devfreq/17000000.gpu/max_freq": "918000000",
    "class/hwmon/hwmon1/oc1_event_cnt": "0",
    "class/hwmon/hwmon1/oc3_event_cnt": "37",
    "class/hwmon/hwmon1/oc3_throt_en": "1",
}


def orin(root, **changed):
    """A folder that looks like an Orin Nano's with locked clocks; ``changed`` says files by the end of their paths."""
    (root / "proc").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    for path, text in ORIN.items():
        file = root / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        ends = [value for end, value in changed.items() if path.replace("/", "_").replace(".", "_").endswith(end)]
        file.write_text(f"{ends[0] if ends else text}\n")
    return read_fingerprint(root, "aarch64")


def test_a_cool_jetson_with_locked_clocks_is_held_down_by_nothing(tmp_path):
    found = orin(tmp_path)
    assert found.throttled == ()
    assert (found.gpu_khz, found.gpu_locked, found.throttle_events) == (918_000, True, 37)


@pytest.mark.parametrize(("device", "name"), [("1", "gpu-throttle-alert"), ("2", "devfreq-17000000.gpu")])
def test_a_cooling_device_that_holds_clocks_is_named_and_a_fan_is_not(tmp_path, device, name):
    assert orin(tmp_path, **{f"cooling_device{device}_cur_state": "2"}).throttled == (name,)


@pytest.mark.parametrize(
    "kind", ["thermal-cpufreq-0", "cpufreq-cpu0", "devfreq-gpu-gpc-0", "gpu-throttle-alert", "cpu-throttle-alert", "gpu-balanced"]
)
def test_types_of_cooling_devices_that_hold_clocks(kind):
    folder = "/sys/class/thermal/cooling_device7"
    assert held_by_cooling({f"{folder}/type": f"{kind}\n", f"{folder}/cur_state": "1\n"}) == (kind,)
    assert held_by_cooling({f"{folder}/type": f"{kind}\n", f"{folder}/cur_state": "0\n"}) == ()
    assert held_by_cooling({f"{folder}/type": f"{kind}\n"}) == ()


@pytest.mark.parametrize("kind", ["pwm-fan", "Fan", "Processor", "intel_powerclamp", "TCC Offset", "hot-surface-alert"])
def test_other_cooling_devices_say_nothing_of_clocks(kind):
    folder = "/sys/class/thermal/cooling_device7"
    assert held_by_cooling({f"{folder}/type": kind, f"{folder}/cur_state": "1"}) == ()


@pytest.mark.parametrize(
    "name", ["57000000.gpu", "17000000.gp10b", "17000000.gv11b", "17000000.ga10b", "17000000.gpu", "gpu-gpc-0", "gpu.0.gpu"]
)
def test_the_gpu_of_each_jetson_is_known_by_its_name(name):
    clock = gpu_clock({f"/sys/class/devfreq/{name}/cur_freq": "306000000\n", f"/sys/class/devfreq/{name}/min_freq": "0\n"})
    assert (clock.khz, clock.locked) == (306_000, False)
    assert gpu_clock({"/sys/class/devfreq/15340000.vic/cur_freq": "115200000"}) is None
    assert gpu_clock({f"/sys/class/devfreq/{name}/cur_freq": "\n"}) is None


def test_a_shell_reads_the_same_of_them(tmp_path):
    """The script that another device runs, with this folder in the place of its /sys."""
    orin(tmp_path, device2_cur_state="4")
    link = FakeLink(None)

    def run(argv, *, stdin, timeout_s):
        script = argv[2].replace("/sys/", f"{tmp_path}/sys/")
        said = LocalLink().run([*argv[:2], script, *argv[3:]], stdin=stdin, timeout_s=timeout_s)
        return replace(said, stdout=said.stdout.replace(f"{tmp_path}/sys/".encode(), b"/sys/"))

    link.run = run
    here, there = facts_here(tmp_path), facts_over(link)
    told = {path: there[path].strip() for path in here if path.startswith("/sys/class/")}
    assert told == {path: here[path].strip() for path in told}
    assert len(told) == len(ORIN) - 1  # which events are allowed to slow it down is not asked
    assert held_by_cooling(there) == ("devfreq-17000000.gpu",)


def test_a_locked_clock_that_fell_while_it_was_measured_is_throttled(tmp_path):
    before = orin(tmp_path / "before")
    after = orin(tmp_path / "after", gpu_cur_freq="611000000", zone0_temp="97000")
    found = over_reading(before, after)
    assert (found.throttled, found.temperature_c, found.gpu_khz) == (("GPU clock fell",), 97.0, 918_000)
    assert over_reading(before, before).throttled == ()


def test_a_clock_that_is_free_to_fall_says_nothing_when_it_does(tmp_path):
    before = orin(tmp_path / "before", gpu_min_freq="306000000")
    after = orin(tmp_path / "after", gpu_min_freq="306000000", gpu_cur_freq="306000000")
    assert not before.gpu_locked
    assert over_reading(before, after).throttled == ()


def test_events_of_the_supply_count_where_they_came_during_the_reading(tmp_path):
    before, after = orin(tmp_path / "before"), orin(tmp_path / "after", oc3_event_cnt="52")
    assert over_reading(before, after).throttled == ("over-current or under-voltage",)
    assert throttle_events({"/sys/class/hwmon/hwmon3/oc2_event_cnt": "4\n", "/sys/class/hwmon/hwmon3/oc_x_event_cnt": "9\n"}) == 4


def test_what_held_before_or_after_is_kept_once():
    before = replace(FAKE_FINGERPRINT, throttled=("under-voltage",), temperature_c=None)
    after = replace(FAKE_FINGERPRINT, throttled=("under-voltage", "throttled"), temperature_c=None)
    found = over_reading(before, after)
    assert (found.throttled, found.temperature_c) == (("under-voltage", "throttled"), None)


def test_what_changes_from_minute_to_minute_makes_no_other_machine(tmp_path):
    one, other = orin(tmp_path / "one"), orin(tmp_path / "other", gpu_cur_freq="306000000", oc3_event_cnt="52")
    assert one.lasting == other.lasting
