import csv
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "bench" / "search_tables.py"
OPERATIONS = ("none", "skip_connect", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ("op_0-1", "op_0-2", "op_1-2")
REFERENCE = Path(os.environ.get("AUTOKD_EDGE_REFERENCE", ROOT.parent / "shared" / "data")) / "nb201_devices.csv.gz"


def write_table(path):
    """Write all 64 cells with three edges: convolutions cost time and gain accuracy, pooling cannot be built."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*EDGES, "params", "macs_m", "accuracy", "ms"])
        for cell in itertools.product(OPERATIONS, repeat=3):
            convolutions = cell.count("nor_conv_3x3")
            latency = "" if "avg_pool_3x3" in cell else 1.0 + convolutions + 0.1 * cell.count("skip_connect")
            writer.writerow([*cell, 10 + convolutions, 100 + convolutions, 50 + 10 * convolutions - cell.count("none"), latency])


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


def test_the_benchmark_runs_on_any_table_finds_the_optimum_and_goes_on_where_it_stopped(tmp_path):
    table, out = tmp_path / "cells.csv", tmp_path / "out.json"
    write_table(table)
    asked = ("--table", table, "--accuracy", "accuracy", "--latency", "ms", "--quantile", 0.5, "--json", out, "--budget", 6)
    asked = (*asked, "--probes-per-teaching", 8)
    first = run(*asked, "--policies", "random-gate", "--seeds", 2)
    assert first.returncode == 0, first.stderr
    second = run(*asked, "--policies", "random-gate,edge-bo", "--seeds", 2)
    assert second.returncode == 0, second.stderr
    assert second.stderr.count('"random-gate"') == 0  # those runs were in the file
    document = json.loads(out.read_text())
    assert len(document["runs"]) == 4
    assert all(len(r["regrets"]) == 6 and r["regrets"] == sorted(r["regrets"], reverse=True) for r in document["runs"])
    edge_bo = next(row for row in document["summary"] if row["policy"] == "edge-bo")
    assert edge_bo["regret"]["5"][1] <= 10
    assert "cores" in document["machine"]
    assert "search_tables.py" in document["command"]


def test_bad_readings_are_a_tenth_wild_and_a_tenth_failing_and_have_a_file_of_their_own(tmp_path):
    table, out = tmp_path / "cells.csv", tmp_path / "bad.json"
    write_table(table)
    asked = ("--table", table, "--accuracy", "accuracy", "--latency", "ms", "--quantile", 0.5, "--json", out, "--budget", 4)
    asked = (*asked, "--probes-per-teaching", 8, "--policies", "random-gate", "--seeds", 1)
    assert run(*asked, "--bad-readings").returncode == 0
    (done,) = json.loads(out.read_text())["runs"]
    assert done["bad_readings"]
    mixed = run(*asked)
    assert mixed.returncode != 0
    assert "must hold runs of one kind" in mixed.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [(("--policies", "best"), "policies must be of"), (("--accuracy", "top-1"), "column 'top-1' must be in the table")],
)
def test_wrong_arguments_are_named(tmp_path, change, said):
    table = tmp_path / "cells.csv"
    write_table(table)
    asked = ["--table", table, "--accuracy", "accuracy", "--latency", "ms", "--quantile", 0.5, "--json", tmp_path / "out.json"]
    finished = run(*asked, *change)
    assert finished.returncode != 0
    assert said in finished.stderr
    assert not (tmp_path / "out.json").exists()


@pytest.mark.reference
@pytest.mark.slow
def test_the_known_optimum_of_a_real_table_is_found_by_the_tool(tmp_path):
    if not REFERENCE.exists():
        pytest.skip(f"the reference table {REFERENCE.name} is not beside the checkout")
    out = tmp_path / "out.json"
    finished = run(
        *("--table", REFERENCE, "--accuracy", "cifar100-test-12ep", "--latency", "raspberry_pi_4_ms", "--quantile", 0.2),
        *("--policies", "random-gate", "--budget", 20, "--seeds", 3, "--json", out),
    )
    assert finished.returncode == 0, finished.stderr
    runs = json.loads(out.read_text())["runs"]
    assert {round(r["optimum"], 2) for r in runs} == {51.76}
    assert {round(r["limit_ms"], 4) for r in runs} == {12.9231}
