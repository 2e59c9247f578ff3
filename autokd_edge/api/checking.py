"""Ask the device about random candidates before an hour is spent: which share of them keeps the limits?"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from autokd_edge.api.options import SearchOptions
from autokd_edge.api.search import SearchJob
from autokd_edge.core.study import Study
from autokd_edge.errors import InputError
from autokd_edge.pipeline.loop import Watch
from autokd_edge.report import wording
from autokd_edge.search.history import Reading
from autokd_edge.search.random_search import RandomChooser
from autokd_edge.search.satisfiability import ProbingPolicy, Satisfiability, satisfiability

MOST_PROBES = 10_000


def probed_study(options: SearchOptions, probes: int, watch: Watch) -> Study:
    """Probe random candidates of the options' family on their target, and forget the files.

    Raises:
        InputError: an option cannot be used, there is no limit, or the number of probes is out of range.
        StageError: the teacher could not be read on the target.
    """
    if not 1 <= probes <= MOST_PROBES:
        raise InputError(f"candidates to probe must be 1 to {MOST_PROBES}; got {probes}", hint="--probes 200")
    if any(goal.limits.latency is None and goal.limits.memory is None for goal in options.goals()):
        raise InputError("a check needs a limit of the device; got none", hint="--max-latency 0.25x or --max-memory 20MB")
    with tempfile.TemporaryDirectory(prefix="autokd-edge-check-") as folder:
        job = SearchJob.of(replace(options, study="check", store=None, out=str(Path(folder) / "run")))
        return job.study(lambda architectures, distillations: ProbingPolicy(RandomChooser(architectures, distillations), probes), watch)


def document_of(study: Study) -> dict[str, Any]:
    """Say what a check came to, in the units that people read; of several targets, for each."""
    if len(study.config.goals) == 1:
        return _document(study)
    return {goal.target: _document(study.of(number)) for number, goal in enumerate(study.config.goals)}


def _document(study: Study) -> dict[str, Any]:
    found = satisfiability(study)
    document: dict[str, Any] = {
        "target": study.goal.target,
        "family": study.config.family,
        "probed": found.probed,
        "measured": found.measured,
        "refused": dict(Counter(f"{failure.stage}: {failure.error}" for failure in found.refused)),
        "fitting": _share(found.fitting, found),
    }
    for share in found.shares:
        bound = wording.latency(share.bound) if share.limit == "latency" else wording.size(share.bound)
        document[f"keep {share.limit} {bound}"] = _share(share.kept, found)
    for name, reading in (("fastest", found.fastest), ("smallest", found.smallest)):
        if reading is not None:
            document[name] = _said(reading)
    if found.closest is not None:
        document["closest"] = str(found.closest)
    if found.fastest is not None:
        document["conditions"] = wording.conditions(found.fastest.measurement)
    if study.put_aside:
        document["boards put aside"] = "; ".join(f"{gone.device}: {gone.reason}" for gone in study.put_aside)
    return document


def fits_at_all(study: Study) -> bool:
    """Say whether any candidate keeps all limits, of each target."""
    return all(satisfiability(study.of(goal)).fitting > 0 for goal in range(len(study.config.goals)))


def _share(kept: int, found: Satisfiability) -> str:
    return f"{kept} of {found.measured} ({100 * kept / found.measured:.1f} %)" if found.measured else "none was measured"


def _said(reading: Reading) -> str:
    parameters = ", ".join(f"{name}={value}" for name, value in reading.member.architecture)
    m = reading.measurement
    return (
        f"{wording.latency(m.median_ns)} and {wording.size(m.memory.engine_bytes)} as {m.variant}, {wording.origin(m)}, "
        f"{reading.cost.parameters:,} parameters; {parameters}"
    )
