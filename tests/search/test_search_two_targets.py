import json
import subprocess
import sys
from pathlib import Path

from search.test_search_tables import EDGES, OPERATIONS

SCRIPT = Path(__file__).parents[2] / "tools" / "bench" / "search_two_targets.py"


def write_table(path: Path) -> None:
    """Write all 64 cells with three edges: one device is slow at convolutions, the other at skips."""
    rows = [",".join((*EDGES, "params", "macs_m", "accuracy", "ms", "other_ms"))]
    for number in range(64):
        cell = [OPERATIONS[number // 4**i % 4] for i in range(3)]
        convolutions = cell.count("nor_conv_3x3")
        facts = (10 + convolutions, 100, 50 + 10 * convolutions, 1 + convolutions, 1 + cell.count("skip_connect"))
        rows.append(",".join((*cell, *map(str, facts))))
    path.write_text("\n".join(rows) + "\n")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


def test_both_targets_are_searched_together_and_alone_with_as_many_teachings(tmp_path):
    table, out = tmp_path / "cells.csv", tmp_path / "out.json"
    write_table(table)
    asked = ("--table", table, "--accuracy", "accuracy", "--latency", "ms", "--latency", "other_ms", "--quantile", 0.5)
    asked = (*asked, "--teachings", 6, "--policies", "random-gate", "--json", out)
    assert run(*asked, "--seeds", 1).returncode == 0
    again = run(*asked, "--seeds", 2)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count('"seed": 0') == 0  # that run was in the file
    document = json.loads(out.read_text())
    for done in document["runs"]:
        for name in ("ms", "other_ms"):
            assert (len(done["together"][name]), len(done["alone"][name])) == (6, 3)
            assert done["together"][name] == sorted(done["together"][name], reverse=True)
    assert [(row["target"], row["seeds"]) for row in document["summary"]] == [("ms", 2), ("other_ms", 2)]
    assert "load_average_1min" in document


def test_one_target_is_refused(tmp_path):
    finished = run("--table", "t.csv", "--accuracy", "a", "--latency", "ms", "--json", tmp_path / "out.json")
    assert finished.returncode == 2
    assert "there must be two targets and a teaching for each; got 1 and 20" in finished.stderr
