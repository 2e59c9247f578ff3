"""Outcomes of sample studies, as the report gets them."""

from __future__ import annotations

import dataclasses
import json

from fakes.bundle import sample_card
from fakes.study import sample_spec, sample_study, sample_study_of_two

from autokd_edge.core.codec import decode, encode
from autokd_edge.core.study import Study
from autokd_edge.core.tuning import Tuning
from autokd_edge.report.outcome import Outcome

CLOSEST = "the closest candidate as openvino/int8 has latency 0.366 ms (limit 0.02 ms, +1730 %)"


def sample_outcome() -> Outcome:
    """Make an outcome with a best engine, test accuracies and both networks."""
    study = sample_study()
    return Outcome(
        name="sample",
        study=study,
        best=study.grades[-1],
        accuracies=sample_card().accuracies,
        student=sample_spec(),
        teacher=sample_spec(nodes=2, seed=1),
    )


def tuned_outcome() -> Outcome:
    """Make the same outcome with an engine that was tuned."""
    tuning = Tuning(
        most=8, workloads=14, known=0, candidates=112, failed={}, changed=5, seconds=48.2, untuned_ns=360_000.0, tuned_ns=310_000.0
    )
    return dataclasses.replace(sample_outcome(), tuning=tuning)


def outcomes_of_two() -> tuple[Outcome, Outcome]:
    """Make the outcomes of a study for two targets."""
    study = sample_study_of_two()
    first, second = (Outcome(name="sample", study=view, best=view.grades[-1]) for view in (study.of(0), study.of(1)))
    return first, second


def emulated_outcome() -> Outcome:
    """Make the same outcome with readings that were emulated, the instructions counted."""
    outcome = sample_outcome()
    study = decode(Study, json.loads(json.dumps(encode(outcome.study)), object_hook=_emulated))
    return dataclasses.replace(outcome, study=study, best=study.grades[-1])


def _emulated(table: dict[str, object]) -> dict[str, object]:
    return {**table, "origin": "emulated", "instructions": 2_107_742} if "origin" in table else table


def infeasible_outcome() -> Outcome:
    """Make an outcome where nothing keeps the limits."""
    return Outcome(name="sample", study=sample_study(feasible=False), best=None, closest=CLOSEST)
