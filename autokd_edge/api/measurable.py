"""Whether engines of a target can be measured from a machine at all, seen before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from autokd_edge.core.target import Target
from autokd_edge.errors import RuntimeMissingError, TargetError
from autokd_edge.ports import Backend


@contextmanager
def for_target(name: str) -> Iterator[None]:
    """Name the target in what mends a missing runtime."""
    try:
        yield
    except RuntimeMissingError as error:
        raise error.of_target(name) from error


def check_measurable(target: Target, backends: Mapping[str, Backend]) -> None:
    """Refuse a target whose engines are built ahead of time and measured nowhere; raises TargetError."""
    for backend in backends.values():
        if backend.unmeasured is not None:
            raise TargetError(backend.unmeasured(target).args[0], hint=f"autokd-edge profile MODEL.onnx --target {target.name} builds them")
