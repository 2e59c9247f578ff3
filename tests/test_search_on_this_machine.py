"""One whole search on real digits with the real runtime: killed, continued, run, reported; takes about a minute and a half."""

import json
import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from fakes.command import Done, run_apart, run_here, start

from autokd_edge.api.folder import RunFolder
from autokd_edge.bundle.checker import read_bundle
from autokd_edge.core.digest import digest_of_file
from autokd_edge.core.events import Event, Graded, Probed, Shipped, Taught
from autokd_edge.core.pupil import Grade, Screened
from autokd_edge.core.study import fold
from autokd_edge.core.variants import may_win
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here
from autokd_edge.search.verdicts import best_grade
from autokd_edge.store.journal import SQLJournal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: pip install 'autokd-edge[openvino]'"),
]
ARGV = ("search", "--data", "digits", "--teacher", "example:digits", "--max-latency", "5ms", "--family", "mbconv")
ARGV = (*ARGV, "--budget", "45s", "--search-steps", "10", "--final-steps", "20", "--final-members", "1", "--out", "run", "--study", "real")


def events_of(folder: RunFolder) -> list[Event]:
    return list(SQLJournal(folder.journal_url).read("real"))


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def killed(here) -> list[Event]:
    """The events of a search that was killed while it asked the device."""
    folder = RunFolder(here / "run")
    with start(*ARGV, folder=here) as process:
        while not any(isinstance(event, Probed) for event in events_of(folder)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
    return events_of(folder)


@pytest.fixture(scope="module")
def done(here, killed) -> Done:
    """The same command again, to its end."""
    assert killed
    return run_apart(*ARGV, "--json", folder=here)


@pytest.fixture(scope="module")
def events(here, done) -> list[Event]:
    assert done.status == 0, done
    return events_of(RunFolder(here / "run"))


def test_the_killed_search_goes_on_where_it_stopped_and_repeats_no_probe(killed, events):
    assert events[: len(killed)] == killed
    members = [event.member for event in events if isinstance(event, Probed)]
    assert len(set(members)) == len(members)
    assert {type(event) for event in events[len(killed) :]} >= {Taught, Graded}
    assert isinstance(events[-1], Shipped)


def test_every_reading_was_measured_on_this_machine(events):
    study, machine = fold(events), read_fingerprint()
    readings = [m for p in study.probes if isinstance(p.outcome, Screened) for m in p.outcome.measurements]
    readings += [g.outcome.measurement for g in study.grades if isinstance(g.outcome, Grade)]
    readings += study.reference.measurements
    assert len(readings) > 5  # of one candidate at least, on however slow a machine
    assert {reading.origin for reading in readings} == {"device"}
    assert {(r.fingerprint.processor, r.fingerprint.isa_flags) for r in readings} == {(machine.processor, machine.isa_flags)}
    assert {r.variant.backend for r in readings} == {"openvino", "tvm"}
    assert all(reading.variant.backend in reading.toolchain for reading in readings)


def test_every_variant_that_may_win_was_built_measured_and_graded(events):
    grades = [event for event in events if isinstance(event, Graded)]
    before = fold([event for event in events if not isinstance(event, Graded | Shipped)])
    here = target_here(load_target("host")[0], read_fingerprint())
    assert tuple(graded.variant for graded in grades) == may_win(before, grades[0].pupil.member, here.variants)
    executed = {
        graded.variant.precision: set(graded.outcome.measurement.executed) for graded in grades if isinstance(graded.outcome, Grade)
    }
    assert executed["fp32"] == {"f32"}
    assert {"u8", "i8"} & executed["int8"]


def test_the_summary_on_stdout_is_that_of_the_bundle(here, done, events):
    summary, bundle = json.loads(done.out), read_bundle(here / "run" / "bundle")
    graded = best_grade(fold(events))
    assert summary["best"]["engine_sha256"] == bundle.engine.sha256 == graded.outcome.engine
    assert summary["bundle_manifest_sha256"] == digest_of_file(here / "run" / "bundle" / "manifest.json")
    said = {(a["what"], a["split"]): a["accuracy_percent"] for a in summary["accuracies"]}
    assert said["teacher", "test"] == pytest.approx(98.056, abs=0.3)
    assert said["student engine", "validation"] == graded.outcome.accuracy
    assert (here / "run" / "report.html").stat().st_size > 100_000


def test_run_repeats_the_self_test_and_a_like_reading(here, events):
    assert events
    ran = run_here("run", "run/bundle", "--protocol", "screen", "--json", folder=here)
    document = json.loads(ran.out)
    assert (ran.status, document["selftest_passed"]) == (0, True)
    assert document["reading"]["origin"] == "device"
    shipped = read_bundle(here / "run" / "bundle").shipped.median_ns
    # Another moment on a machine that other work uses; the law of 10 % has a benchmark of its own.
    assert 0.2 < document["reading"]["median_ns"] / shipped < 5


def test_report_tells_the_same_as_the_search(here, done):
    told = run_here("report", "run", "--json", folder=here)
    assert (told.status, json.loads(told.out)) == (0, json.loads(done.out))


def test_a_changed_byte_of_the_engine_is_refused(here, events):
    assert events
    engine = here / "run" / "bundle" / read_bundle(here / "run" / "bundle").engine.name
    data = engine.read_bytes()
    engine.chmod(0o644)
    engine.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    refused = run_here("run", "run/bundle", folder=here)
    engine.write_bytes(data)
    assert refused.status == 2
    assert f"'{engine.name}' of bundle 'run/bundle' was changed" in refused.err
    assert refused.err.count("\n") == 1
