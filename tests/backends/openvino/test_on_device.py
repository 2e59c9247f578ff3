"""The program that runs on the device."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fakes.graphs import write_graph, write_samples

from autokd_edge.backends.openvino import on_device
from autokd_edge.backends.openvino.builder import ON_DEVICE
from autokd_edge.core.codec import encode

REQUEST = {"threads": 1, "precision_hint": "f32"}
PROTOCOL = {"warmup_runs": 3, "warmup_s": 0.05, "warmup_tolerance": 0.01}


def call(program, mode, request):
    """Run it as a board would: alone in a folder, isolated from this package."""
    argv = [sys.executable, "-I", str(program), mode]
    return subprocess.run(argv, input=json.dumps(request).encode(), capture_output=True, timeout=60, check=False)


@pytest.mark.slow
def test_the_file_alone_builds_and_infers_and_prints_one_document(tmp_path):
    program = Path(shutil.copy(ON_DEVICE, tmp_path / "program.py"))
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy", 3)
    built = call(program, "build", {**REQUEST, "graph": str(graph), "out": str(tmp_path / "engine")})
    assert json.loads(built.stdout)["layers"]["f32"] > 3
    ran = call(program, "infer", {**REQUEST, "engine": str(tmp_path / "engine"), "inputs": str(samples), "out": str(tmp_path / "out")})
    assert json.loads(ran.stdout) == {"samples": 3}
    assert np.load(tmp_path / "out").shape == (3, 5)


@pytest.mark.slow
def test_an_engine_runs_in_the_float_precision_that_its_import_asks_for(builder, variant, target, protocol, tmp_path):
    builder.build(write_graph(tmp_path / "g"), variant=variant, target=target, out=tmp_path / "engine")
    engine = str(tmp_path / "engine")
    executed = []
    for hint in ("f32", "bf16"):
        request = {**REQUEST, "engine": engine, "sentinel": engine, "precision_hint": hint, "protocol": encode(protocol)}
        executed.append(json.loads(call(ON_DEVICE, "measure", request).stdout)["executed"])
    has_bf16 = bool({"avx512_bf16", "amx_bf16"} & set(target.isa_flags))
    assert "bf16" not in executed[0]
    assert (executed[1].get("bf16", 0) >= 3) is has_bf16


def test_the_program_ends_with_the_one_that_started_it():
    starter = "import subprocess, sys, time; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); time.sleep(60)"
    reader, writer = os.pipe()  # its stdin stays open, so that only the death of its parent can end it
    with subprocess.Popen(
        [sys.executable, "-c", starter, sys.executable, str(ON_DEVICE), "memory"], stdin=reader, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        answers = str(Path(f"/proc/self/fd/{parent.stdout.fileno()}").readlink())
        _wait_until(lambda: answers in _open_files(child))  # it has kept stdout aside, and now waits for its request
        parent.send_signal(signal.SIGKILL)
    os.close(reader)
    _wait_until(lambda: not _open_files(child))
    os.close(writer)


def test_what_a_vendor_prints_on_stdout_is_no_part_of_the_answer(tmp_path):
    program = tmp_path / "program.py"
    noisy = 'def memory(request):\n    os.write(1, b"banner")\n    print("more")\n    return {"peak_rss_bytes": 1}\n\n\nif __name__'
    program.write_text(ON_DEVICE.read_text().replace("if __name__", noisy))
    done = call(program, "memory", REQUEST)
    assert json.loads(done.stdout) == {"peak_rss_bytes": 1}
    assert b"banner" in done.stderr


def test_a_block_is_at_least_so_many_runs_and_at_least_so_long():
    assert len(on_device._timed(lambda: None, 50, 0)) == 50
    start = time.perf_counter()
    samples = on_device._timed(lambda: time.sleep(0.001), 3, 0.05)
    assert time.perf_counter() - start >= 0.05
    assert len(samples) > 3
    assert all(sample >= 1_000_000 for sample in samples)


def test_warming_up_ends_when_the_median_stands_still():
    times = iter([0.04] * 3 + [0.02] * 3 + [0.01] * 100)
    assert on_device._warm_up(lambda: time.sleep(next(times)), {**PROTOCOL, "warmup_s": 5, "warmup_tolerance": 0.5})
    assert 80 <= len(list(times)) <= 94  # two windows of the steady time, a busy machine some more


def test_warming_up_gives_up_at_its_time_limit_and_says_so():
    pause = [0.001]

    def slower():
        pause[0] *= 1.3
        time.sleep(pause[0])

    assert not on_device._warm_up(slower, PROTOCOL)


def test_a_single_thread_is_pinned_to_one_core_and_several_are_not():
    code = "import os, sys; sys.path.insert(0, sys.argv[1]); import on_device; print(on_device._pin({'threads': int(sys.argv[2])}), "
    code += "len(os.sched_getaffinity(0)))"
    said = [subprocess.check_output([sys.executable, "-c", code, str(ON_DEVICE.parent), threads], text=True) for threads in ("1", "2")]
    assert said == ["True 1\n", f"False {len(os.sched_getaffinity(0))}\n"]


def test_memory_is_the_peak_of_the_process_in_bytes_also_after_it_was_freed():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import on_device as o; a = o._peak_rss_bytes(); b = b'x' * 50_000_000; del b; "
    code += "print(a, o._peak_rss_bytes())"
    before, after = map(int, subprocess.check_output([sys.executable, "-c", code, str(ON_DEVICE.parent)], text=True).split())
    assert 5_000_000 < before < 45_000_000
    assert 48_000_000 < after - before < 52_000_000  # the kernel counts to some 0.4 MB


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
