"""Facts in two columns."""

import io

from rich.console import Console

from autokd_edge.report.listing import listing


def test_nested_facts_are_said_on_lines_of_their_own() -> None:
    stream = io.StringIO()
    variants = [{"backend": "openvino", "precision": "fp32"}, {"backend": "openvino", "precision": "int8"}]
    Console(file=stream, width=120).print(listing({"name": "host", "variants": variants, "isa_flags": [], "sources": {"a": "b", "c": "d"}}))
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert lines == ["name host", "variants openvino/fp32, openvino/int8", "isa_flags -", "sources a: b", "c: d"]
