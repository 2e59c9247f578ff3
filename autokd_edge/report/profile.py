"""A profile for a terminal and for programs: a column for each variant, then the layers."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autokd_edge.core.codec import Json, encode
from autokd_edge.core.measure import Measurement
from autokd_edge.core.profile import Built, LayerTime, LeftOut, Profile, Profiled, ProfileRow
from autokd_edge.core.pupil import Failed
from autokd_edge.report import wording
from autokd_edge.report.summary import reading_summary

_LINES: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    ("Latency, median of blocks", lambda m: wording.latency(m.median_ns)),
    ("Latency p50", lambda m: wording.latency(m.percentile_ns(50.0))),
    ("Latency p90", lambda m: wording.latency(m.percentile_ns(90.0))),
    ("Latency p99", lambda m: wording.latency(m.percentile_ns(99.0))),
    ("Upper bound of p50, confidence 0.99", lambda m: wording.latency(m.upper_bound_ns(50.0))),
    ("Upper bound of p99, confidence 0.99", lambda m: wording.latency(m.upper_bound_ns(99.0))),
    ("Samples", wording.samples),
    ("Variation within blocks", lambda m: f"{m.within_variation:.1%}"),
    ("Variation between blocks", lambda m: f"{m.between_variation:.1%}"),
    ("Medians of the blocks", lambda m: ", ".join(wording.latency(ns) for ns in m.block_medians_ns)),
    ("Peak resident memory of the process", lambda m: wording.size(m.memory.peak_rss_bytes)),
    ("Peak over the null engine", lambda m: wording.size(m.memory.process_bytes)),
    ("Drop of the system's available memory", lambda m: _size_or_none(m.memory.available_drop_bytes)),
    ("Drop of the available memory over the null engine", lambda m: _size_or_none(m.memory.engine_drop_bytes)),
    ("Executed precision", wording.executed),
    ("Instructions of one inference", wording.instructions),
    ("Flags", lambda m: ", ".join(m.flags) or "none"),
)


def profile_tables(profile: Profile) -> RenderableType:
    """Lay out the readings side by side, what was not measured and why, and the layers where they were asked for."""
    parts: list[RenderableType] = []
    if profile.measured:
        parts.append(_readings(profile))
    parts.extend(Text(f"{row.variant}: {_why_not(row)}", style="yellow") for row in profile.rows if not isinstance(row.outcome, Profiled))
    for row in profile.measured:
        assert isinstance(row.outcome, Profiled)  # noqa: S101  what `measured` means
        if row.outcome.tuning is not None:
            parts.append(Text(f"{row.variant}: {wording.tuned(row.outcome.tuning)}"))
        if row.outcome.layers is not None:
            parts.append(_layers(row, row.outcome.layers))
    return Group(*parts)


def summarise_profile(profile: Profile) -> dict[str, Json]:
    """Write a profile for programs: plain numbers with the unit in each name, raw samples left to ``--out``."""
    return {
        "profile_version": profile.profile_version,
        "created": profile.created,
        "model": profile.model,
        "model_sha256": profile.model_digest,
        "input_shape": list(profile.input_shape),
        "target": profile.target,
        "protocol": profile.protocol,
        "variants": [_summary(row) for row in profile.rows],
    }


def _summary(row: ProfileRow) -> dict[str, Json]:
    plain: dict[str, Json] = {"backend": row.variant.backend, "precision": row.variant.precision}
    match row.outcome:
        case Failed() as failed:
            error = {"stage": failed.stage, "error": failed.error, "message": failed.message, "retryable": failed.retryable}
            return {**plain, "outcome": "failed", "failure": error}
        case Built() as built:
            return {**plain, "outcome": "built, not measured", "engine_bytes": built.engine_bytes, "reason": built.reason}
        case LeftOut() as left_out:
            return {**plain, "outcome": "left out", "reason": left_out.reason}
        case Profiled() as done:
            layers = None if done.layers is None else [_layer_summary(layer) for layer in done.layers]
            reading = reading_summary(done.measurement)
            medians = list(done.measurement.block_medians_ns)
            return {
                **plain,
                "tuning": None if done.tuning is None else encode(done.tuning),
                "outcome": wording.ORIGIN_WORDS[done.measurement.origin],
                "engine_bytes": done.engine_bytes,
                "reading": reading,
                "block_medians_ns": medians,
                "available_memory_drop_bytes": done.measurement.memory.available_drop_bytes,
                "available_memory_drop_over_null_bytes": done.measurement.memory.engine_drop_bytes,
                "layers": layers,
            }


def _layer_summary(layer: LayerTime) -> dict[str, Json]:
    return {"name": layer.name, "kind": layer.kind, "precision": layer.precision, "mean_ns": layer.mean_ns}


def _size_or_none(amount_bytes: int | None) -> str:
    return "not read" if amount_bytes is None else wording.size(amount_bytes)


def _readings(profile: Profile) -> Table:
    first = profile.measured[0].outcome
    assert isinstance(first, Profiled)  # noqa: S101  what `measured` means
    shape = "x".join(map(str, profile.input_shape))
    title = f"{profile.model} ({shape}) on {wording.device(first.measurement)}, protocol '{profile.protocol}'"
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    table.add_column("Quantity", overflow="fold")
    done = [(row.variant, row.outcome) for row in profile.measured if isinstance(row.outcome, Profiled)]
    for variant, outcome in done:
        word = wording.origin(outcome.measurement)
        table.add_column(f"{variant} ({word}, {wording.runtime(outcome.measurement)})", overflow="fold")
    for quantity, of in _LINES:
        table.add_row(Text(quantity, style="dim"), *(Text(of(outcome.measurement)) for _, outcome in done))
    table.add_row(Text("Engine's file", style="dim"), *(Text(wording.size(outcome.engine_bytes)) for _, outcome in done))
    return table


def _layers(row: ProfileRow, layers: tuple[LayerTime, ...]) -> Table:
    total = sum(layer.mean_ns for layer in layers) or 1
    title = f"Layers of {row.variant}, as the runtime's own profiler says, in a run apart from the timed one"
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in ("Layer", "Kind", "Precision"):
        table.add_column(column, overflow="fold")
    for column in ("Mean time", "Share"):
        table.add_column(column, justify="right")
    for layer in layers:
        cells = (layer.name, layer.kind, layer.precision, wording.latency(layer.mean_ns), f"{layer.mean_ns / total:.1%}")
        table.add_row(*map(Text, cells))
    return table


def _why_not(row: ProfileRow) -> str:
    match row.outcome:
        case Failed() as failed:
            again = ", may succeed when tried again" if failed.retryable else ""
            return f"failed to {failed.stage} ({failed.error}{again}): {failed.message}"
        case Built() as built:
            return f"built, {wording.size(built.engine_bytes)}, and not measured: {built.reason}"
        case LeftOut() as left_out:
            return f"left out: {left_out.reason}"
        case Profiled():
            return ""
