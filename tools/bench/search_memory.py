"""Run a search as a user does and read the most memory that it and all its processes held at one moment.

    python tools/bench/search_memory.py --json tools/bench/results/search_memory.json -- \
        --target host --data fashion-mnist --teacher example:fashion-mnist --max-latency 0.25x --budget 8min --out DIR

Memory is the proportional set size (PSS) of every process of the tree, read twice a second: pages that several
share count once. The law: less than 4 GB for a search on Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from bench_facts import facts

LAW_BYTES = 4_000_000_000
PERIOD_S = 0.5


def main() -> int:
    """Run the search to its end; status 1 where the law is broken, the search's own where it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("search", nargs="+", help="options of `autokd-edge search`, after --")
    options = parser.parse_args()
    begun = facts()  # the load before the search, not of it
    started = time.monotonic()
    process = subprocess.Popen([str(Path(sys.executable).with_name("autokd-edge")), "search", *options.search])
    peak_bytes, most_processes = 0, 0
    while process.poll() is None:
        tree = _tree(process.pid)
        held = sum(_pss_bytes(pid) for pid in tree)
        peak_bytes, most_processes = max(peak_bytes, held), max(most_processes, len(tree))
        time.sleep(PERIOD_S)
    seconds = time.monotonic() - started
    print(f"peak {peak_bytes / 1e9:.2f} GB in {most_processes} processes at most, {seconds:.0f} s (law {LAW_BYTES / 1e9:.0f} GB)")
    document = {
        **begun,
        "search": options.search,
        "exit_status": process.returncode,
        "seconds": seconds,
        "peak_bytes": peak_bytes,
        "law_bytes": LAW_BYTES,
    }
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return process.returncode or int(peak_bytes >= LAW_BYTES)


def _tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            parents[int(folder.name)] = int(after_name[1])
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(child for child, parent in parents.items() if parent == pid)
    return found


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main())
