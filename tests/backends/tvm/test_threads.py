"""Engines of several threads."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from autokd_edge.devices.reference import write_sentinel

# Says how many threads there are before and after the first call, and whether a child of fork() infers the same.
PROGRAM = """
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "autokd_student.h"
static float image[784], ours[10], theirs[10];
static int threads(void) {
    int count = -2; /* . and .. */
    DIR *tasks = opendir("/proc/self/task");
    while (readdir(tasks)) count++;
    closedir(tasks);
    return count;
}
int main(void) {
    for (int i = 0; i < 784; i++) image[i] = (float)(i % 7) - 3;
    int before = threads(), status = 1;
    autokd_run(image, ours);
    int after = threads();
    if (!fork()) {
        autokd_run(image, theirs);
        _exit(memcmp(ours, theirs, sizeof ours) != 0 || threads() != after);
    }
    wait(&status);
    printf("%d %d %d", before, after, status);
    return 0;
}
"""


@pytest.mark.slow
def test_several_threads_give_the_numbers_of_one(builder, board, variant, target, tmp_path):
    write_sentinel(tmp_path / "graph.onnx")
    np.save(tmp_path / "samples.npy", np.random.default_rng(0).standard_normal((20, 1, 28, 28), dtype=np.float32))
    logits = []
    for threads in (1, 2, 3):
        machine = replace(target, threads=threads)
        builder.build(tmp_path / "graph.onnx", variant=variant, target=machine, out=tmp_path / "engine")
        board.infer(tmp_path / "engine", tmp_path / "samples.npy", variant=variant, target=machine, out=tmp_path / "logits.npy")
        logits.append(np.load(tmp_path / "logits.npy"))
    assert np.unique(logits[0]).size > 20
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(logits[0], logits[2])


@pytest.mark.slow
def test_a_library_starts_its_threads_with_the_first_call_and_again_in_a_child(builder, variant, target, tmp_path):
    write_sentinel(tmp_path / "graph.onnx")
    builder.library(tmp_path / "graph.onnx", variant=variant, target=replace(target, threads=3), folder=tmp_path)
    assert "starts 2 more threads" in (tmp_path / "autokd_student.h").read_text()
    (tmp_path / "main.c").write_text(PROGRAM)
    parts = [tmp_path / "main.c", tmp_path / "libautokd_student.a", "-pthread", "-o", tmp_path / "main"]
    subprocess.run([shutil.which("gcc"), *parts], check=True)
    done = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 3 0"
