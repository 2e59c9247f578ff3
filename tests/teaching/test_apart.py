"""Teaching in processes apart."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autokd_edge.core.digest import Digest
from autokd_edge.errors import DataError, TeachError
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.teaching.apart import MOST_DEATHS, WorkersDistiller
from autokd_edge.teaching.classroom import Classroom
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.lesson import SAVE_EVERY
from autokd_edge.teaching.silence import Silence
from autokd_edge.teaching.teachers import load_teacher
from autokd_edge.teaching.trainer import KDDistiller

SPEC = resnet_spec((1, 8, 8), 10, (8,), 1, stem=8, seed=1)
STEPS = 20


def classroom(folder: Path, **changes) -> Classroom:
    data = data_source("digits").teaching()
    facts = {
        "data": "digits",
        "image_size": None,
        "augment": None,
        "data_digest": data.digest,
        "teacher": "example:digits",
        "teacher_digest": load_teacher("example:digits", data).digest,
        "loss": "kd",
        "seed": 3,
        "cache": str(folder / "logits"),
        "silence": str(folder / "silence"),
    }
    return Classroom(**(facts | changes))


def workers(folder: Path, count: int = 1, **changes) -> WorkersDistiller:
    found = classroom(folder, **changes)
    if "data_digest" not in changes:
        found.distiller()  # as the search does: it begins the tables that all share
    return WorkersDistiller(found, workers=count, threads=1, logs=folder / "logs")


def taught(distiller, out: Path, *, steps: int = STEPS):
    return distiller.teach(SPEC, distiller.space.at([0.5, 0.5]), steps=steps, seed=1, out=out)


def children() -> list[int]:
    """Return the process ids of the workers that this process started and that live."""
    found = [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return [pid for pid in found if b"autokd_edge.teaching.worker" in _arguments(pid)]


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()  # of a dead one that was not waited for, nothing
    except OSError:
        return b""


def killing(count: int) -> threading.Thread:
    """Kill the next workers as soon as they are there."""

    def kill() -> None:
        killed = set()
        while len(killed) < count:
            for pid in set(children()) - killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_a_pupil_over_which_one_worker_after_another_dies_is_a_failure_that_says_so(tmp_path):
    with workers(tmp_path) as distiller:
        thread = killing(MOST_DEATHS)
        with pytest.raises(TeachError, match=r"until its pupil is taught; 3 died over it, the last with signal 9") as failed:
            taught(distiller, tmp_path / "a.safetensors")
        thread.join()
    assert failed.value.retryable
    assert not children()


def test_who_is_over_leaves_no_process_and_starts_none(tmp_path):
    with workers(tmp_path) as distiller, ThreadPoolExecutor(1) as pool:
        running = pool.submit(taught, distiller, tmp_path / "a.safetensors", steps=100_000)
        while not children():
            time.sleep(0.01)
        distiller.__exit__(None, None, None)
        with pytest.raises(TeachError, match="ended"):
            running.result()
    assert not children()


@pytest.mark.thorough
def test_two_workers_at_the_same_time_teach_what_one_process_teaches(tmp_path):
    with workers(tmp_path, 2) as distiller, ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda name: taught(distiller, tmp_path / name), ("a.safetensors", "b.safetensors"))
    here = taught(KDDistiller(*_lesson_things(), seed=3, cache=tmp_path / "own"), tmp_path / "c.safetensors")
    assert (first.accuracy, first.loss) == (second.accuracy, second.loss) == (here.accuracy, here.loss)
    bodies = {(tmp_path / f"{name}.safetensors").read_bytes() for name in "abc"}
    assert len(bodies) == 1


def _lesson_things():
    data = data_source("digits").teaching()
    return data, load_teacher("example:digits", data)


@pytest.mark.thorough
def test_a_worker_that_was_killed_goes_on_from_what_was_saved_to_the_same_weights(tmp_path):
    steps = 4 * SAVE_EVERY
    with workers(tmp_path) as distiller, ThreadPoolExecutor(1) as pool:
        running = pool.submit(taught, distiller, tmp_path / "a.safetensors", steps=steps)
        while not (tmp_path / "a.partial").exists():
            time.sleep(0.01)
        (pid,) = children()
        os.kill(pid, signal.SIGKILL)
        running.result()
    with workers(tmp_path) as distiller:
        taught(distiller, tmp_path / "b.safetensors", steps=steps)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.thorough
def test_data_that_changed_since_the_search_began_end_it_with_the_digest(tmp_path):
    with workers(tmp_path, data_digest=Digest("0" * 64)) as distiller, pytest.raises(DataError, match="must stay as it was"):
        taught(distiller, tmp_path / "a.safetensors")


def test_nobody_works_while_silence_is_kept_and_workers_do_not_wait_for_each_other(tmp_path):
    silence, seen = Silence(tmp_path), []

    def work() -> None:
        with silence.broken():
            seen.append("worked")

    with silence.broken():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(timeout=10)
        assert seen == ["worked"]
    with silence.kept():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(timeout=0.05)
        assert seen == ["worked"]
    thread.join(timeout=10)
    assert seen == ["worked"] * 2


def test_silence_comes_although_workers_go_on_and_on(tmp_path):
    silence, over = Silence(tmp_path), threading.Event()

    def work() -> None:
        while not over.is_set():
            with silence.broken():
                time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    with silence.kept():
        over.set()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
