"""A study as one JSON document for programs: plain numbers, with the unit in each name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from autokd_edge.core.codec import Json, encode
from autokd_edge.core.events import Confirmed, Graded
from autokd_edge.core.limits import Limits
from autokd_edge.core.measure import Measurement
from autokd_edge.core.pupil import Cost, Failed, Grade, Screened
from autokd_edge.core.study import Study, keeps
from autokd_edge.report import family, front
from autokd_edge.report.finalists import finalists, is_kept, refused_count
from autokd_edge.report.outcome import Outcome, cost_of, grades, lessons, paused_count, refusals
from autokd_edge.report.precisions import comparisons

SUMMARY_VERSION = 1


class ReadingSummary(TypedDict):
    """One measurement, its raw samples left to the journal."""

    origin: str
    target: str
    backend: str
    precision: str
    protocol: str
    device: str | None
    processor: str
    virtual: bool
    threads: int
    toolchain: dict[str, str]
    samples: int
    median_ns: float
    p50_ns: int | None
    p90_ns: int | None
    p99_ns: int | None
    p50_upper_bound_ns: int | None
    p99_upper_bound_ns: int | None
    between_variation: float
    peak_memory_bytes: int
    peak_memory_over_null_bytes: int
    executed_layers: dict[str, int]
    instructions: int | None
    flags: list[str]
    prediction: dict[str, Json] | None


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Json]:
    """Write the summary of a study, one below ``goals`` for each target where there are several; what is not known is null."""
    if len(outcomes) == 1:
        return _summary(outcomes[0])
    goals: list[Json] = [_summary(outcome) for outcome in outcomes]
    return {"summary_version": SUMMARY_VERSION, "study": outcomes[0].name, "goals": goals}


def _summary(outcome: Outcome) -> dict[str, Json]:
    study = outcome.study
    config = study.config
    return {
        "summary_version": SUMMARY_VERSION,
        "study": outcome.name,
        "target": study.goal.target,
        "data": config.data,
        "teacher_name": config.teacher,
        "family": config.family,
        "policy": config.policy,
        "seed": config.seed,
        "rung_steps": list(config.rung_steps),
        "workers": config.workers,
        "limits": encode(study.goal.limits, Limits),
        "elapsed_s": study.elapsed_s,
        "counts": _counts(outcome),
        "boards_put_aside": [{"device": gone.device, "reason": gone.reason, "at_s": gone.at_s} for gone in study.put_aside],
        "variants_screened": [
            {
                "variant": str(c.variant),
                "read": c.read,
                "tried": c.read + c.failed,
                "median_ratio": c.median_ratio,
                "skipped": c.skipped,
                "absent": c.absent or None,
            }
            for c in comparisons(study)
        ],
        "refused": [{"stage": r.stage, "reason": r.reason, "count": r.count, "example": r.example} for r in refusals(study)],
        "teacher": None
        if study.reference is None
        else {
            "accuracy_validation_percent": study.reference.accuracy,
            **_cost(study.reference.cost),
            "readings": [reading_summary(m) for m in study.reference.measurements],
        },
        "finalists": [_finalist(study, confirmed) for confirmed in study.confirmations],
        "engines": [_engine(outcome, graded, grade) for graded, grade in grades(study)],
        "best": None if outcome.best is None or outcome.grade is None else _engine(outcome, outcome.best, outcome.grade),
        "pareto": list(study.goal.pareto),
        "front": front.summary(outcome),
        "family_members": family.summary(family.family_of(study, outcome.best)),
        "tuning": None if outcome.tuning is None else encode(outcome.tuning),
        "closest": outcome.closest or None,
        "explanation": None if outcome.explanation is None else encode(outcome.explanation),
        "accuracies": [
            {"what": a.what, "split": a.split, "accuracy_percent": a.percent, "computed_by": a.computed_by, "machine": a.machine}
            for a in outcome.accuracies
        ],
        "bundle_manifest_sha256": None if study.shipped is None else study.shipped.bundle,
    }


def _counts(outcome: Outcome) -> dict[str, int]:
    study = outcome.study
    return {
        "probed": len(study.probes),
        "measured": sum(isinstance(p.outcome, Screened) for p in study.probes),
        "fitting": sum(study.fits(p) for p in study.probes),
        "taught": len(lessons(study)),
        "taught_on_lower_rungs_alone": paused_count(study),
        "finalists_read_untrained": len(finalists(study)),
        "finalists_refused_untrained": refused_count(study),
        "graded": len(grades(study)),
        "keeping_all_limits": sum(keeps(study.grade_slacks(grade)) for _, grade in grades(study)),
    }


def _finalist(study: Study, confirmed: Confirmed) -> dict[str, Json]:
    """Write a reading of an untrained finalist by the final protocol."""
    return {
        "architecture": dict(confirmed.member.architecture),
        "member_index": confirmed.member.index,
        "variant": str(confirmed.variant),
        "kept": is_kept(study, confirmed),
        "reading": reading_summary(confirmed.outcome) if isinstance(confirmed.outcome, Measurement) else None,
        "failure": confirmed.outcome.message if isinstance(confirmed.outcome, Failed) else None,
    }


def _engine(outcome: Outcome, graded: Graded, grade: Grade) -> dict[str, Json]:
    cost = cost_of(outcome.study, graded.pupil.member)
    return {
        "architecture": dict(graded.pupil.member.architecture),
        "member_index": graded.pupil.member.index,
        "distillation": dict(graded.pupil.distillation),
        "accuracy_validation_percent": grade.accuracy,
        **(_cost(cost) if cost is not None else {}),
        "reading": reading_summary(grade.measurement),
        "limits": [
            {"limit": s.limit, "reading": s.reading, "bound": s.bound, "unit": _UNITS[s.limit], "kept": s.excess <= 0}
            for s in outcome.study.grade_slacks(grade)
        ],
        "engine_sha256": grade.engine,
        "quantized": None if grade.quantized is None else encode(grade.quantized),
    }


_UNITS = {"latency": "ns", "memory": "bytes", "instructions": "instructions of one inference", "accuracy": "points below the teacher"}


def _cost(cost: Cost | None) -> dict[str, int]:
    return {} if cost is None else {"parameters": cost.parameters, "macs": cost.macs, "activation_bytes": cost.activation_bytes}


def reading_summary(m: Measurement) -> ReadingSummary:
    """Write one reading with its statistics; units in names."""
    return ReadingSummary(
        origin=m.origin,
        target=m.target,
        backend=m.variant.backend,
        precision=m.variant.precision,
        protocol=m.protocol,
        device=m.device,
        processor=m.fingerprint.processor,
        virtual=m.fingerprint.virtual,
        threads=m.threads,
        toolchain=dict(m.toolchain),
        samples=m.count,
        median_ns=m.median_ns,
        p50_ns=m.percentile_ns(50.0),
        p90_ns=m.percentile_ns(90.0),
        p99_ns=m.percentile_ns(99.0),
        p50_upper_bound_ns=m.upper_bound_ns(50.0),
        p99_upper_bound_ns=m.upper_bound_ns(99.0),
        between_variation=m.between_variation,
        peak_memory_bytes=m.memory.peak_rss_bytes,
        peak_memory_over_null_bytes=m.memory.engine_bytes,
        executed_layers=dict(m.executed),
        instructions=m.instructions,
        flags=list(m.flags),
        prediction=None if m.prediction is None else encode(m.prediction),
    )
