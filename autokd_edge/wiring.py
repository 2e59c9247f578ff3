"""Names on the command line -> adapters: one literal table for each port, and an entry-point group for others.

A package registers a backend under the entry-point group ``autokd_edge.backends``: a callable that takes
the folder for its own files and returns a ``ports.Backend``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from autokd_edge.core.space import SearchSpace
from autokd_edge.core.target import Target
from autokd_edge.devices.lease import Lease, default_lease_path
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import InputError, TargetError
from autokd_edge.ports import Backend, Link, Policy, StudentFamily
from autokd_edge.students.families.nago import NagoFamily

BACKEND_GROUP = "autokd_edge.backends"
_T = TypeVar("_T")


def _openvino(folder: Path) -> Backend:
    from autokd_edge.backends.openvino.board import OpenVINOBoard
    from autokd_edge.backends.openvino.builder import NAME, OpenVINOBuilder
    from autokd_edge.backends.openvino.quantize import NNCFQuantizer

    link, lease = _this_machine()
    board = OpenVINOBoard(link, lease, folder)
    return Backend(name=NAME, builder=OpenVINOBuilder(link), quantizer=NNCFQuantizer(link), board=board, layer_timer=board)


def _onnxruntime(folder: Path) -> Backend:
    from autokd_edge.backends.onnxruntime.board import ONNXRuntimeBoard
    from autokd_edge.backends.onnxruntime.builder import NAME, ONNXRuntimeBuilder
    from autokd_edge.backends.onnxruntime.quantize import ONNXRuntimeQuantizer

    link, lease = _this_machine()
    board = ONNXRuntimeBoard(link, lease, folder)
    return Backend(name=NAME, builder=ONNXRuntimeBuilder(link), quantizer=ONNXRuntimeQuantizer(link), board=board, layer_timer=board)


def _this_machine() -> tuple[Link, Lease]:
    return LocalLink(), Lease(default_lease_path())


def _edge_bo(architectures: SearchSpace, distillations: SearchSpace, target: Target) -> Policy:
    from autokd_edge.search.edge_bo import EdgeBO
    from autokd_edge.search.policy import PhasedPolicy

    return PhasedPolicy(EdgeBO(architectures, distillations), target.variants)


def _random(architectures: SearchSpace, distillations: SearchSpace, target: Target) -> Policy:
    from autokd_edge.search.policy import PhasedPolicy
    from autokd_edge.search.random_search import RandomChooser

    return PhasedPolicy(RandomChooser(architectures, distillations), target.variants)


BACKENDS: Mapping[str, Callable[[Path], Backend]] = {"openvino": _openvino, "onnxruntime": _onnxruntime}
FAMILIES: Mapping[str, Callable[[], StudentFamily]] = {"nago": NagoFamily}
POLICIES: Mapping[str, Callable[[SearchSpace, SearchSpace, Target], Policy]] = {"edge-bo": _edge_bo, "random": _random}


def family_named(name: str) -> StudentFamily:
    """Return a family of students; raises InputError where there is no such family."""
    return _named(name, FAMILIES, "family", "--family")()


def policy_named(name: str) -> Callable[[SearchSpace, SearchSpace, Target], Policy]:
    """Return how a policy is made from the two spaces and the target; raises InputError."""
    return _named(name, POLICIES, "policy", "--policy")


def backends_of(target: Target, folder: Path) -> dict[str, Backend]:
    """Return the backends of a target's variants; their own files go to ``folder``.

    Raises:
        TargetError: a variant names a backend that nobody provides.
    """
    others = {point.name: point for point in entry_points(group=BACKEND_GROUP) if point.name not in BACKENDS}
    found = {}
    for name in dict.fromkeys(variant.backend for variant in target.variants):
        if name not in BACKENDS and name not in others:
            raise TargetError(f"backend of target '{target.name}' must be one of {', '.join((*BACKENDS, *others))}; got '{name}'")
        make = BACKENDS[name] if name in BACKENDS else others[name].load()
        found[name] = make(folder / name)
    return found


def _named(name: str, table: Mapping[str, _T], what: str, option: str) -> _T:
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1) or list(table)[:1]
        raise InputError(f"{what} must be one of {', '.join(table)}; got '{name}'", hint=f"{option} {near[0]}")
    return table[name]
