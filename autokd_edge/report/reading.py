"""One reading for a terminal, beside the reading that a bundle was shipped with."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from autokd_edge.core.measure import Measurement
from autokd_edge.report import wording


def reading_table(here: Measurement, *, shipped: Measurement) -> Table:
    """Set a new reading of an engine beside the one in its manifest."""
    title = f"{here.variant} on {here.fingerprint.processor}, protocol '{here.protocol}', {here.threads} thread(s)"
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in ("Quantity", f"Now ({wording.origin(here)})", f"In the manifest (protocol '{shipped.protocol}')"):
        table.add_column(column, overflow="fold")
    lines: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
        ("Latency, median of blocks", lambda m: wording.latency(m.median_ns)),
        ("Latency p90", lambda m: wording.latency(m.percentile_ns(90.0))),
        ("Latency p99", lambda m: wording.latency(m.percentile_ns(99.0))),
        ("Upper bound of p50", lambda m: wording.latency(m.upper_bound_ns(50.0))),
        ("Samples", lambda m: f"{m.count:,}"),
        ("Variation between blocks", lambda m: f"{m.between_variation:.1%}"),
        ("Peak memory over the null engine", lambda m: wording.size(m.memory.engine_bytes)),
        ("Executed precision, layers", lambda m: ", ".join(f"{p}: {n}" for p, n in m.executed.items())),
        ("Flags", lambda m: ", ".join(m.flags) or "none"),
    )
    for quantity, of in lines:
        table.add_row(Text(quantity, style="dim"), Text(of(here), style="bold"), Text(of(shipped)))
    return table
