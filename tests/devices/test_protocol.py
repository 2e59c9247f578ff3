"""Readings made of answers: retries and flags."""

from dataclasses import replace

import pytest
from fakes.backend import FAKE_FINGERPRINT, FAKE_PROTOCOL, FAKE_TARGET, FAKE_VARIANTS

from autokd_edge.core.codec import encode
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.measure import Sentinel
from autokd_edge.devices.protocol import Answer, Baseline, Subject, answer_from_json, reading, steadiest
from autokd_edge.errors import MeasureError

STEADY = Answer(
    clock="fake",
    threads=1,
    pinned=True,
    warm=True,
    blocks_ns=((1000, 1001, 1002) * 60,) * 3,
    peak_rss_bytes=100,
    executed={"f32": 3},
    sentinel=Sentinel(before_ns=1000, after_ns=1010),
    toolchain={"fake": "1"},
)
SUBJECT = Subject(
    engine=digest_of_bytes(b""),
    variant=FAKE_VARIANTS[0],
    target=FAKE_TARGET,
    protocol=FAKE_PROTOCOL,
    fingerprint=FAKE_FINGERPRINT,
    origin="device",
)
BASELINE = Baseline(null_rss_bytes=40, sentinel_ns=1000)


def flags(answer=STEADY, *, as_asked=True, **fingerprint):
    subject = replace(SUBJECT, fingerprint=replace(FAKE_FINGERPRINT, **fingerprint))
    return reading(answer, subject, BASELINE, as_asked=as_asked).flags


def drifting(*after_ns):
    """Answers whose sentinel moved from 1000 ns to each of these."""
    return iter([replace(STEADY, sentinel=Sentinel(before_ns=1000, after_ns=after)) for after in after_ns])


def asker(answers, asked):
    def ask():
        asked.append(1)
        return next(answers)

    return ask


def test_a_steady_reading_carries_no_flag():
    assert flags() == ()


def test_a_reading_keeps_numbers_and_memory_as_they_came():
    found = reading(STEADY, SUBJECT, BASELINE, as_asked=True)
    assert found.blocks_ns == STEADY.blocks_ns
    assert found.memory.engine_bytes == 60
    assert found.origin == "device"


@pytest.mark.parametrize(
    ("flag", "found"),
    [
        ("sentinel-drift", lambda: flags(replace(STEADY, sentinel=Sentinel(before_ns=1000, after_ns=1031)))),
        ("machine-slowed", lambda: flags(replace(STEADY, sentinel=Sentinel(before_ns=1101, after_ns=1102)))),
        ("clocks-unlocked", lambda: flags(governor="powersave")),
        ("clocks-unlocked", lambda: flags(governor="unknown")),
        ("throttled", lambda: flags(throttled=("under-voltage",))),
        ("virtual-machine", lambda: flags(virtual=True)),
        ("not-pinned", lambda: flags(replace(STEADY, pinned=False))),
        ("not-warm", lambda: flags(replace(STEADY, warm=False))),
        ("noisy", lambda: flags(replace(STEADY, blocks_ns=((1000,) * 200, (1030,) * 200, (1060,) * 200)))),
        ("noisy", lambda: flags(replace(STEADY, blocks_ns=((1000, 1150) * 100,) * 3))),
        ("noisy", lambda: flags(replace(STEADY, blocks_ns=((*(1000,) * 199, 40_000),) * 3))),  # another process took the core once
        ("noisy", lambda: flags(replace(STEADY, waited_share=0.06))),  # long runs, all slowed alike
        ("few-samples", lambda: flags(replace(STEADY, blocks_ns=((1000,) * 152,) * 3))),
        ("executed-precision-differs", lambda: flags(as_asked=False)),
    ],
)
def test_each_law_sets_its_flag_and_no_other(flag, found):
    assert found() == (flag,)


@pytest.mark.parametrize(
    ("mode", "has", "found"),
    [
        ("15W", ("15W", "7W"), ()),  # before JetPack 6.2 it was the fastest
        ("15W", ("15W", "7W", "MAXN_SUPER"), ("power-mode-reduced",)),
        ("MAXN_SUPER", ("15W", "7W", "MAXN_SUPER"), ()),
        ("15W", (), ("power-mode-reduced",)),  # it does not say which it has
        ("", (), ()),
    ],
)
def test_a_power_mode_is_reduced_where_the_board_has_a_faster_one(mode, has, found):
    target = replace(SUBJECT.target, power_modes=("MAXN_SUPER", "25W", "15W", "7W"))
    machine = replace(SUBJECT.fingerprint, power_mode=mode, power_modes=has)
    assert reading(STEADY, replace(SUBJECT, target=target, fingerprint=machine), BASELINE, as_asked=True).flags == found


def test_several_threads_need_no_pinning():
    assert flags(replace(STEADY, threads=4, pinned=False)) == ()


def test_a_void_reading_is_taken_again_until_the_sentinel_stands_still():
    asked = []
    answer = steadiest(asker(drifting(1100, 1000, 1000), asked), replace(FAKE_PROTOCOL, retries=5), BASELINE)
    assert (len(asked), answer.sentinel.drift) == (2, 0)


def test_retries_are_bounded_and_the_least_drift_is_kept_with_a_flag():
    asked = []
    answer = steadiest(asker(drifting(1200, 1050, 1090, 1000), asked), replace(FAKE_PROTOCOL, retries=2), BASELINE)
    assert (len(asked), answer.sentinel.after_ns) == (3, 1050)
    assert flags(answer) == ("sentinel-drift",)


def test_a_machine_that_was_slow_all_the_time_is_asked_again():
    slow, usual = (replace(STEADY, sentinel=Sentinel(before_ns=ns, after_ns=ns)) for ns in (1290, 1040))
    asked = []
    assert steadiest(asker(iter([slow, usual]), asked), replace(FAKE_PROTOCOL, retries=1), BASELINE) == usual
    unknown = replace(BASELINE, sentinel_ns=None)
    assert steadiest(asker(iter([slow, usual]), asked), replace(FAKE_PROTOCOL, retries=1), unknown) == slow
    assert "machine-slowed" not in reading(slow, SUBJECT, unknown, as_asked=True).flags


def test_an_answer_of_another_shape_is_a_measure_error():
    document = encode(STEADY)
    assert answer_from_json(document) == STEADY
    with pytest.raises(MeasureError, match="'threads': is missing"):
        answer_from_json({name: value for name, value in document.items() if name != "threads"})
    with pytest.raises(MeasureError, match="'extra'"):
        answer_from_json({**document, "extra": 1})


def test_an_answer_without_samples_is_a_measure_error():
    with pytest.raises(MeasureError, match="samples in every block"):
        reading(replace(STEADY, blocks_ns=((1,), ())), SUBJECT, BASELINE, as_asked=True)
