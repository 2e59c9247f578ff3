"""A new reading beside the one that was shipped."""

import io

from fakes.study import sample_measurement
from rich.console import Console

from autokd_edge.report.reading import reading_table


def test_both_readings_are_shown_with_the_word_of_their_origin() -> None:
    here = sample_measurement(190_000.0, protocol="final", engine_bytes=1_850_000)
    shipped = sample_measurement(380_000.0, protocol="final", engine_bytes=1_850_000)
    stream = io.StringIO()
    Console(file=stream, width=160).print(reading_table(here, shipped=shipped))
    text = stream.getvalue()
    assert "Now (replayed)" in text
    assert "measured" not in text
    median = next(line for line in text.splitlines() if "Latency, median" in line)
    assert "190 µs" in median
    assert "380 µs" in median
