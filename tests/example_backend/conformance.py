"""The example's own tests: it inherits the suites; pytest is told of this file by name."""

from dataclasses import replace

import pytest

from autokd_edge import wiring
from autokd_edge.conformance.backend import BackendContract
from autokd_edge.conformance.board import BoardContract
from autokd_edge.conformance.builder import BuilderContract
from autokd_edge.conformance.fixtures import BackendFixtures
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here


@pytest.fixture(scope="session")
def target():
    host = target_here(load_target("host")[0], read_fingerprint())
    return replace(host, variants=(Variant(backend="example", precision="fp32"),))


@pytest.fixture(scope="session")
def backend(target, tmp_path_factory):
    return wiring.backends_of(target, tmp_path_factory.mktemp("example"))["example"]  # found by its entry point


@pytest.fixture(scope="session")
def origin():
    return "device"


class TestExampleBuilder(BackendFixtures, BuilderContract):
    pass


class TestExampleBoard(BackendFixtures, BoardContract):
    pass


class TestExample(BackendFixtures, BackendContract):
    pass
