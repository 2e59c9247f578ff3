"""The target that this machine is, and a short protocol, for all backends."""

import pytest

from autokd_edge.conformance.fixtures import SHORT
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here


@pytest.fixture(scope="session")
def target():
    host, _ = load_target("host")
    return target_here(host, read_fingerprint())


@pytest.fixture(scope="session")
def protocol():
    return SHORT
