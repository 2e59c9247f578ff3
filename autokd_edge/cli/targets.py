"""`autokd-edge targets`: what is known of devices."""

from __future__ import annotations

from typing import Annotated

import typer

from autokd_edge.cli.options import Json, print_document


def targets(
    name: Annotated[str | None, typer.Argument(help="Show one descriptor.")] = None,
    as_json: Json = False,
) -> None:
    """List the targets, or show what is known of one and where it is from."""
    from autokd_edge.api.descriptors import described, listed

    print_document(listed() if name is None else described(name), as_json=as_json)
