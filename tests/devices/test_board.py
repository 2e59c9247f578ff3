"""The board of any runtime: what it makes of a device program's answers."""

from dataclasses import replace

import numpy as np
import pytest
from fakes.backend import FAKE_FINGERPRINT, FAKE_PROTOCOL, FAKE_TARGET
from fakes.link import FakeLink
from fakes.runtime import FAKE_RUNTIME

from autokd_edge.core.target import Variant
from autokd_edge.devices.board import Place, RuntimeBoard, ran_as_asked
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink
from autokd_edge.devices.runtime import LinkedRuntime
from autokd_edge.errors import MeasureError

FLOAT = Variant(backend="fake", precision="fp32")
PROTOCOL = replace(FAKE_PROTOCOL, blocks=2, block_runs=20)
# What a device program would say of a steady engine.
STEADY = {
    "clock": "fake",
    "threads": 1,
    "pinned": True,
    "warm": True,
    "blocks_ns": [[1000] * 20] * 2,
    "peak_rss_bytes": 150,
    "executed": {"f32": 3},
    "sentinel": {"before_ns": 1000, "after_ns": 1000},
    "toolchain": {"fake": "1"},
}
MOVED = {**STEADY, "sentinel": {"before_ns": 1000, "after_ns": 1200}}


class FakeRuntimeBuilder:
    """Builds by asking the device, as a real one."""

    def __init__(self, link, runtime=FAKE_RUNTIME):
        self._runtime = LinkedRuntime(runtime=runtime, link=link)

    def toolchain(self):
        return self._runtime.toolchain()

    def build(self, graph, *, variant, target, out):
        self._runtime.build(graph, variant=variant, target=target, out=out, timeout_s=20)


class FakeDevice:
    """Answers each mode in turn: null peaks of 90, 100, 130 bytes, and the given readings."""

    def __init__(self, tmp_path, *measured, fingerprint=FAKE_FINGERPRINT, counts=()):
        peaks = iter([90, 130, 100])
        answers = iter(measured)
        self.link = FakeLink(
            lambda argv, _request: {
                "build": dict,
                "memory": lambda: {"peak_rss_bytes": next(peaks)},
                "measure": lambda: next(answers),
                "instructions": lambda: {"instructions": counts},
            }[argv[-1]]()
        )
        (tmp_path / "engine").write_bytes(b"engine")
        self.lease = Lease(tmp_path / "lock", wait_s=0)
        place = Place(link=self.link, lease=self.lease, folder=tmp_path / "references", fingerprint=lambda: fingerprint)
        self.board = RuntimeBoard(FAKE_RUNTIME, FakeRuntimeBuilder(self.link), place)
        self._engine = tmp_path / "engine"

    def measure(self, variant=FLOAT, protocol=PROTOCOL):
        return self.board.measure(self._engine, variant=variant, target=FAKE_TARGET, protocol=protocol)


def test_the_null_engine_is_measured_three_times_once_and_its_median_is_the_baseline(tmp_path):
    device = FakeDevice(tmp_path, STEADY, STEADY)
    readings = [device.measure() for _ in range(2)]
    assert [reading.memory.null_rss_bytes for reading in readings] == [100, 100]
    assert device.link.modes == ["build", "build", "memory", "memory", "memory", "measure", "measure"]


def test_a_void_reading_is_taken_again_in_a_fresh_process(tmp_path):
    device = FakeDevice(tmp_path, MOVED, STEADY)
    reading = device.measure(protocol=replace(PROTOCOL, retries=1))
    assert device.link.modes.count("measure") == 2
    assert reading.flags == ("few-samples",)


def test_the_fastest_sentinel_is_the_level_that_later_readings_are_held_to(tmp_path):
    device = FakeDevice(tmp_path, *({**STEADY, "sentinel": {"before_ns": ns, "after_ns": ns}} for ns in (1000, 900, 1000)))
    flags = [device.measure().flags for _ in range(3)]
    assert flags == [("few-samples",), ("few-samples",), ("machine-slowed", "few-samples")]


def test_reference_engines_are_built_once_for_all_boards_of_a_folder(tmp_path):
    FakeDevice(tmp_path, STEADY).measure()
    again = FakeDevice(tmp_path, STEADY)
    again.measure()
    assert "build" not in again.link.modes
    assert {path.suffix for path in (tmp_path / "references").iterdir()} == {".blob"}


def test_a_board_that_throttles_while_it_is_measured_flags_the_reading(tmp_path):
    device = FakeDevice(tmp_path, STEADY)
    states = iter([FAKE_FINGERPRINT, replace(FAKE_FINGERPRINT, throttled=("under-voltage",))])
    place = Place(link=device.link, lease=device.lease, folder=tmp_path / "references", fingerprint=lambda: next(states))
    board = RuntimeBoard(FAKE_RUNTIME, FakeRuntimeBuilder(device.link), place)
    reading = board.measure(tmp_path / "engine", variant=FLOAT, target=FAKE_TARGET, protocol=PROTOCOL)
    assert reading.fingerprint.throttled == ("under-voltage",)
    assert "throttled" in reading.flags


@pytest.mark.parametrize(("emulated", "origin"), [(True, "emulated"), (False, "device")])
def test_what_an_emulator_ran_is_never_called_measured(tmp_path, emulated, origin):
    device = FakeDevice(tmp_path, STEADY)
    machine = replace(FAKE_FINGERPRINT, emulated=emulated)
    place = Place(link=device.link, lease=device.lease, folder=tmp_path / "references", fingerprint=lambda: machine)
    board = RuntimeBoard(FAKE_RUNTIME, FakeRuntimeBuilder(device.link), place)
    assert board.measure(tmp_path / "engine", variant=FLOAT, target=FAKE_TARGET, protocol=PROTOCOL).origin == origin


# A clock that is set back a little in the middle of every 50th run, for the real program on this machine.
BACKWARDS = """
import time
_true, _back, _runs, _run = time.perf_counter_ns, [0], [0], FakeEngine.run
time.perf_counter_ns = lambda: _true() - _back[0]

def run(self):
    _run(self)
    _runs[0] += 1
    if _runs[0] % 50 == 0:
        _back[0] += 20_000

FakeEngine.run = run

def build(request):
    np.save(open(request["out"], "wb"), np.ones((4, 3), np.float32))
    return {}
"""


def test_a_clock_that_goes_backwards_is_no_reading(tmp_path):
    (tmp_path / "driver.py").write_text(FAKE_RUNTIME.driver.read_text() + BACKWARDS)
    np.save(tmp_path / "engine.npy", np.ones((4, 3), np.float32))
    runtime, link = replace(FAKE_RUNTIME, driver=tmp_path / "driver.py"), LocalLink()
    place = Place(link=link, lease=Lease(tmp_path / "lock", wait_s=0), folder=tmp_path / "references", fingerprint=lambda: FAKE_FINGERPRINT)
    board = RuntimeBoard(runtime, FakeRuntimeBuilder(link, runtime), place)
    protocol = replace(PROTOCOL, block_runs=200, timeout_s=30)
    with pytest.raises(MeasureError, match=r"samples must be positive; got -1\d{4} ns"):
        board.measure(tmp_path / "engine.npy", variant=FLOAT, target=FAKE_TARGET, protocol=protocol)


def test_nobody_measures_or_runs_next_to_somebody(tmp_path):
    device = FakeDevice(tmp_path, STEADY)
    with device.lease.hold("another search"):
        with pytest.raises(MeasureError, match="another search"):
            device.measure()
        with pytest.raises(MeasureError, match="another search"):
            device.board.infer(tmp_path / "engine", tmp_path / "engine", variant=FLOAT, target=FAKE_TARGET, out=tmp_path / "out")
    assert "measure" not in device.link.modes


def test_a_device_that_does_not_answer_in_time_is_a_retryable_measure_error(tmp_path):
    device = FakeDevice(tmp_path, MeasureError("must end within 60 s", retryable=True))
    with pytest.raises(MeasureError, match="60 s") as caught:
        device.measure()
    assert caught.value.retryable


def test_a_variant_of_another_backend_is_a_measure_error(tmp_path):
    with pytest.raises(MeasureError, match="got 'tvm/fp32'"):
        FakeDevice(tmp_path).measure(replace(FLOAT, backend="tvm"))


@pytest.mark.parametrize(
    ("precision", "executed", "as_asked"),
    [
        ("fp32", {"f32": 40, "i32": 2, "i64": 1}, True),
        ("fp32", {"f32": 39, "bf16": 1}, False),
        ("fp32", {"bf16": 40}, False),
        ("fp32", {"f32": 39, "u8": 1}, False),
        ("bf16", {"bf16": 20, "f32": 3}, True),
        ("bf16", {"f32": 20}, False),
        ("fp16", {"f16": 20, "f32": 3}, True),
        ("fp16", {"f32": 40}, False),
        ("fp16", {"f16": 39, "i8": 1}, False),
        ("int8", {"u8": 20, "f32": 3}, True),
        ("int8", {"i8": 1, "f32": 30}, True),
        ("int8", {"f32": 40, "i32": 2}, False),
        ("int8", {"f32": 40, "u8": 0}, False),
    ],
)
def test_precision_is_as_asked_where_float_ran_in_f32_and_int8_in_integers(precision, executed, as_asked):
    assert ran_as_asked(precision, executed) is as_asked


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"layers": []}, "the profiler of 'fake' must name the layers that ran; it named none"),
        ({"layers": [{"name": "a"}]}, "must hold the times of layers; field 'layers\\[0\\].kind'"),
    ],
)
def test_a_profiler_that_says_nothing_of_use_is_a_measure_error(answer, said, tmp_path):
    (tmp_path / "engine").touch()
    link = FakeLink(lambda _argv, _request: answer)
    board = RuntimeBoard(FAKE_RUNTIME, FakeRuntimeBuilder(link), Place(link=link, lease=Lease(tmp_path / "lock"), folder=tmp_path))
    with pytest.raises(MeasureError, match=said):
        board.layers(tmp_path / "engine", variant=FLOAT, target=FAKE_TARGET)


def test_a_variant_that_is_not_the_runtimes_has_no_layers(tmp_path):
    link = FakeLink(lambda _argv, _request: {})
    board = RuntimeBoard(FAKE_RUNTIME, FakeRuntimeBuilder(link), Place(link=link, lease=Lease(tmp_path / "lock"), folder=tmp_path))
    with pytest.raises(MeasureError, match="builds fake/fp32, fake/int8"):
        board.layers(tmp_path / "engine", variant=replace(FLOAT, precision="int3"), target=FAKE_TARGET)
    assert link.modes == []


COUNTING = replace(FAKE_FINGERPRINT, machine="aarch64", emulated=True, counts_instructions=True)


def test_under_an_emulator_that_counts_a_reading_holds_the_median_count_and_is_ranked_by_it(tmp_path):
    device = FakeDevice(tmp_path, STEADY, fingerprint=COUNTING, counts=[700, 702, 900])
    reading = device.measure()
    assert (reading.origin, reading.instructions, reading.median_ns, reading.slowness) == ("emulated", 702, 1000, 702)
    assert device.link.modes[-1] == "instructions"


@pytest.mark.parametrize("fingerprint", [FAKE_FINGERPRINT, replace(COUNTING, counts_instructions=False)])
def test_where_nobody_counts_a_reading_is_ranked_by_its_median(tmp_path, fingerprint):
    reading = FakeDevice(tmp_path, STEADY, fingerprint=fingerprint).measure()
    assert (reading.instructions, reading.slowness) == (None, 1000)


@pytest.mark.parametrize("counts", [[], [0, 0, 0], ["many"]])
def test_counts_that_count_nothing_are_a_failure_and_no_number(tmp_path, counts):
    with pytest.raises(MeasureError, match="counts of instructions"):
        FakeDevice(tmp_path, STEADY, fingerprint=COUNTING, counts=counts).measure()
