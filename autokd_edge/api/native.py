"""What a bundle takes along by its backend: a runtime's name, or the files beside an engine that needs none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autokd_edge.bundle.manifest import Card, Runtime
from autokd_edge.bundle.native import native_files
from autokd_edge.bundle.unbuilt import GRAPH_TO_BUILD
from autokd_edge.core.measure import Measurement
from autokd_edge.ports import Backend


def runtime_of(backend: Backend, measurement: Measurement) -> Runtime | None:
    """Return the package that runs a backend's engines, in the version that was measured; None where they are programs."""
    package = backend.package or backend.name
    return None if backend.library is not None else Runtime(package=package, version=measurement.toolchain[package])


def engine_name(backend: Backend) -> str:
    """Return the name of an engine's file in a bundle."""
    if backend.computed_by:  # it was not built
        return GRAPH_TO_BUILD
    return "engine.blob" if backend.library is None else "engine"


def files_beside(backend: Backend, graph: Path, card: Card, scratch: Path, *, module: bool = False) -> Mapping[str, Path]:
    """Make what goes beside an engine that is a program of its own, by name: nothing for any other engine.

    ``graph`` is the one that the engine was built from; ``module`` adds what the compiler's own runtime loads.

    Raises:
        BuildError: the compiler refused the graph.
    """
    if backend.library is None:
        return {}
    folder = scratch / "library"
    folder.mkdir()
    backend.library.library(graph, variant=card.variant, target=card.target, folder=folder)
    if module:
        backend.library.module(graph, variant=card.variant, target=card.target, folder=folder)
    return native_files(folder, card)
