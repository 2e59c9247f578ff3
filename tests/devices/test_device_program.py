"""The program that runs on the device, with a driver that needs no vendor."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from fakes.backend import FAKE_PROTOCOL
from fakes.device import run_device_program
from fakes.runtime import FAKE_RUNTIME

from autokd_edge.core.codec import encode
from autokd_edge.devices import device_program
from autokd_edge.devices.protocol import answer_from_json
from autokd_edge.devices.runtime import DEVICE_PROGRAM

DRIVER = FAKE_RUNTIME.driver
PROTOCOL = {"warmup_runs": 3, "warmup_s": 0.05, "warmup_tolerance": 0.01}


@pytest.fixture
def engine(tmp_path):
    with (tmp_path / "engine").open("wb") as stream:
        np.save(stream, np.arange(12, dtype=np.float32).reshape(4, 3))
    return tmp_path / "engine"


@pytest.fixture
def request_for(engine):
    return {"engine": str(engine), "sentinel": str(engine), "threads": 1, "protocol": encode(FAKE_PROTOCOL)}


def test_two_files_alone_are_all_that_a_device_needs(request_for, engine, tmp_path):
    program, driver = (Path(shutil.copy(path, tmp_path / name)) for path, name in ((DEVICE_PROGRAM, "program.py"), (DRIVER, "driver.py")))
    built = run_device_program(driver, "build", {"graph": str(engine), "out": str(tmp_path / "built")}, program=program)
    assert json.loads(built.stdout) == {"layers": {"f32": 1}}
    images = np.eye(4, dtype=np.float32).reshape(4, 1, 2, 2)
    np.save(tmp_path / "images.npy", images)
    request = {**request_for, "engine": str(tmp_path / "built"), "inputs": str(tmp_path / "images.npy"), "out": str(tmp_path / "out")}
    ran = run_device_program(driver, "infer", request, program=program)
    assert json.loads(ran.stdout) == {"samples": 4}
    np.testing.assert_array_equal(np.load(tmp_path / "out"), np.arange(12).reshape(4, 3))


def test_an_answer_to_measure_holds_a_reading_and_all_its_samples(request_for):
    answer = answer_from_json(json.loads(run_device_program(DRIVER, "measure", request_for).stdout))
    assert [len(block) for block in answer.blocks_ns] == [FAKE_PROTOCOL.block_runs] * FAKE_PROTOCOL.blocks
    assert answer.executed == {"f32": 1}
    assert set(answer.toolchain) == {"fake", "python"}


@pytest.mark.parametrize(("shape", "dtype"), [((3, 1, 2, 3), "f4"), ((3, 1, 2, 2), "f8")])
def test_samples_that_do_not_fit_are_refused_by_shape_and_type(request_for, tmp_path, shape, dtype):
    np.save(tmp_path / "images.npy", np.zeros(shape, dtype))
    ran = run_device_program(DRIVER, "infer", {**request_for, "inputs": str(tmp_path / "images.npy"), "out": str(tmp_path / "out")})
    assert ran.returncode == 1
    assert b"samples must be float32 (n, 1, 2, 2); got" in ran.stderr
    assert not (tmp_path / "out").exists()


def test_what_a_vendor_prints_on_stdout_is_no_part_of_the_answer(request_for):
    done = run_device_program(DRIVER, "memory", {**request_for, "noisy": True})
    assert set(json.loads(done.stdout)) == {"peak_rss_bytes"}
    assert b"banner" in done.stderr


def test_the_program_ends_with_the_one_that_started_it():
    starter = "import subprocess, sys, time; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); time.sleep(60)"
    reader, writer = os.pipe()  # its stdin stays open, so that only the death of its parent can end it
    with subprocess.Popen(
        [sys.executable, "-c", starter, sys.executable, str(DEVICE_PROGRAM), str(DRIVER), "memory"], stdin=reader, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        answers = str(Path(f"/proc/self/fd/{parent.stdout.fileno()}").readlink())
        _wait_until(lambda: answers in _open_files(child))  # it has kept stdout aside, and now waits for its request
        parent.send_signal(signal.SIGKILL)
    os.close(reader)
    _wait_until(lambda: not _open_files(child))
    os.close(writer)


def test_a_block_is_at_least_so_many_runs_and_at_least_so_long():
    assert len(device_program._timed(lambda: None, 50, 0)) == 50
    start = time.perf_counter()
    samples = device_program._timed(lambda: time.sleep(0.001), 3, 0.05)
    assert time.perf_counter() - start >= 0.05
    assert len(samples) > 3
    assert all(sample >= 1_000_000 for sample in samples)


def test_a_long_block_keeps_no_more_samples_than_the_protocol_says():
    protocol = {"cooldown_s": 0, "block_runs": 10, "block_s": 0.01, "block_samples": 50}
    assert 25 <= len(device_program._block(lambda: None, protocol, device_program._Displaced())) <= 50


def test_waiting_for_a_processor_that_another_process_holds_is_counted():
    code = """
        import device_program, os, subprocess, sys, time
        device_program._pin({'threads': 1})
        other = subprocess.Popen([sys.executable, '-c', 'while True: pass'])  # it inherits the one core
        displaced = device_program._Displaced()
        with displaced.counted():
            end = time.process_time() + 0.1
            while time.process_time() < end: pass
        other.kill()
        print(displaced.share)
    """
    (share,) = map(float, _said(textwrap.dedent(code)))
    assert 0.2 < share < 1


def test_a_kernel_that_does_not_count_waiting_leaves_it_unknown(monkeypatch):
    monkeypatch.setattr(device_program, "_waited_ns", lambda: None)
    displaced = device_program._Displaced()
    with displaced.counted():
        pass
    assert displaced.share is None


def test_warming_up_ends_when_the_median_stands_still():
    times = iter([0.04] * 3 + [0.02] * 3 + [0.01] * 100)
    assert device_program._warm_up(lambda: time.sleep(next(times)), {**PROTOCOL, "warmup_s": 5, "warmup_tolerance": 0.5})
    assert 80 <= len(list(times)) <= 94  # two windows of the steady time, a busy machine some more


def test_warming_up_gives_up_at_its_time_limit_and_says_so():
    pause = [0.001]

    def slower():
        pause[0] *= 1.3
        time.sleep(pause[0])

    assert not device_program._warm_up(slower, PROTOCOL)


def test_a_single_thread_is_pinned_to_one_core_and_several_are_not():
    code = "import os, device_program; print(device_program._pin({'threads': %d}), len(os.sched_getaffinity(0)))"
    assert [_said(code % threads) for threads in (1, 2)] == [["True", "1"], ["False", str(len(os.sched_getaffinity(0)))]]


def test_memory_is_the_peak_of_the_process_in_bytes_also_after_it_was_freed():
    code = "from device_program import _peak_rss_bytes as peak; a = peak(); b = b'x' * 50_000_000; del b; print(a, peak())"
    before, after = map(int, _said(code))
    assert 5_000_000 < before < 45_000_000
    assert 48_000_000 < after - before < 52_000_000  # the kernel counts to some 0.4 MB


def test_memory_is_never_less_than_what_is_resident():
    read = "int(next(l for l in open('/proc/self/smaps_rollup') if l.startswith('Rss:')).split()[1]) * 1024"
    code = f"from device_program import _peak_rss_bytes as peak; a = [b'x' * 100_000 for _ in range(100)]; r = {read}; print(r, peak())"
    resident, peak = map(int, _said(code))
    assert 10_000_000 < resident <= peak


def _said(code):
    """Run code in a process that imports the program as a module."""
    return subprocess.check_output([sys.executable, "-c", code], text=True, cwd=DEVICE_PROGRAM.parent).split()


def _open_files(pid):
    """What the descriptors above stderr are; nothing where the process has ended."""
    try:
        return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if int(path.name) > 2]
    except OSError:
        return []


def _wait_until(holds):
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "it did not happen within 10 s"
        time.sleep(0.02)


def test_layers_are_timed_by_the_drivers_own_profiler(request_for):
    answer = json.loads(run_device_program(DRIVER, "layers", request_for).stdout)
    assert answer == {"layers": [{"name": "product", "kind": "MatMul", "precision": "f32", "mean_ns": 1000}]}


def test_instructions_are_the_growth_of_the_count_and_its_file_is_removed(request_for, tmp_path, monkeypatch):
    counter = tmp_path / "counter"
    counter.write_bytes((10**12).to_bytes(8, sys.byteorder))  # it stands still: nothing was executed
    monkeypatch.setenv("AUTOKD_EDGE_COUNTER", str(counter))
    done = run_device_program(DRIVER, "instructions", request_for)
    assert json.loads(done.stdout) == {"instructions": [0] * device_program.COUNTED_RUNS}
    assert not counter.exists()
