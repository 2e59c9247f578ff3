"""Put the paper's three claims on the record: search, teach, build, measure, grade, compare; resumable and seeded.

    python tools/bench/claims.py --scale smoke --work runs/claims-smoke --json claims.json
    python tools/bench/claims.py --scale fashion-mnist --work runs/claims

Each hand-designed student is read on this machine, and a search with plain KD looks for a student at its
latency. Both are taught alike, with every seed, and graded as fp32 engines on the test set. Every result is
written before the next one is begun: the same command goes on where it was stopped, and with an empty ``--work``
where the ``--json`` of an earlier run of the same settings ends, which must then be of the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported

from bench_facts import facts
from claims_lab import SCALES, Lab, Scale
from claims_verdicts import told, verdicts

from autokd_edge.core.atomic import written_whole


def main() -> int:
    """Fill the ledger and write what it comes to; a claim that is not met is a result, not an error."""
    options = _options()
    scale = SCALES[options.scale]
    ledger = _Ledger(options.work / "ledger.json", scale, options.json)
    lab = Lab(scale, options.work)
    for designed in scale.designed:
        ledger.once(f"latency {designed}", lambda name=designed: lab.latency_of(name))
        bound_ns = ledger.records[f"latency {designed}"]["median_ns"]
        ledger.once(f"found {designed}", lambda name=designed, ns=bound_ns: lab.search(f"kd-{name}", ns, "kd"))
        _teach(ledger, lab, scale, designed)
        if designed == scale.compared:
            _teach_by_labels(ledger, lab, scale, bound_ns)
        _write(options, scale, ledger)  # what is there so far: the whole takes hours
    document = _write(options, scale, ledger)
    print("\n".join(told(document["claims"])))
    return 0


def _teach(ledger: _Ledger, lab: Lab, scale: Scale, designed: str) -> None:
    """Teach a hand-designed student with each loss, and the student found at its latency with plain KD."""
    for seed in scale.seeds:
        for loss in scale.losses:
            ledger.once(f"taught {designed} {loss} {seed}", lambda loss=loss, s=seed: lab.teach_designed(designed, loss, s))
        pupil = ledger.records[f"found {designed}"].get("pupil")
        if pupil is not None:
            ledger.once(f"taught found {designed} kd {seed}", lambda p=pupil, s=seed: lab.teach_found(p, s))


def _teach_by_labels(ledger: _Ledger, lab: Lab, scale: Scale, bound_ns: float) -> None:
    """Find a student by cross-entropy alone and teach it with plain KD, as the one that was found with KD."""
    designed = scale.compared
    ledger.once(f"found by labels {designed}", lambda: lab.search(f"ce-{designed}", bound_ns, "ce"))
    for seed in scale.seeds:
        pupil = ledger.records[f"found by labels {designed}"].get("pupil")
        if pupil is not None:
            ledger.once(f"taught by labels {designed} kd {seed}", lambda p=pupil, s=seed: lab.teach_found(p, s))


def _write(options: argparse.Namespace, scale: Scale, ledger: _Ledger) -> dict[str, Any]:
    """Judge what is there and write it, where a file was asked for."""
    document = {**facts(), "scale": options.scale, "settings": scale.described(), "records": ledger.records}
    document["claims"] = verdicts(document["settings"], ledger.records)
    if options.json:
        with written_whole(options.json) as begun:
            begun.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return document


class _Ledger:
    """Results by name, written whole after each."""

    def __init__(self, path: Path, scale: Scale, committed: Path | None) -> None:
        """Go on from ``path``, or where it is not there from what an earlier run has ``committed``."""
        self._path = path
        self._settings = scale.described()
        self.records: dict[str, dict[str, Any]] = {}
        known = path if path.exists() or committed is None else committed
        if known.exists():
            document = json.loads(known.read_text())
            machine = facts()["machine"]
            if document["settings"] != self._settings or document.get("machine", machine) != machine:
                sys.exit(f"claims: '{known}' was begun with other settings or on another machine; give another --work, or another --json")
            self.records = document["records"]

    def once(self, name: str, work: Any) -> None:  # noqa: ANN401  any function without arguments
        """Do a piece of work unless its result is there."""
        if name in self.records:
            return
        self.records[name] = work()
        print(f"{name}: {json.dumps(self.records[name])[:160]}", flush=True)
        with written_whole(self._path) as begun:
            begun.write_text(json.dumps({"settings": self._settings, "records": self.records}, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the ledger, the journals and the engines")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
