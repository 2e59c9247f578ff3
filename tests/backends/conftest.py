"""The target that this machine is, and a short protocol, for all backends."""

import pytest

from autokd_edge.core.measure import Protocol
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.fingerprint import read_fingerprint, target_here


@pytest.fixture(scope="session")
def target():
    host, _ = load_target("host")
    return target_here(host, read_fingerprint())


@pytest.fixture(scope="session")
def protocol():
    return Protocol(
        name="short",
        warmup_runs=5,
        warmup_s=0.05,
        warmup_tolerance=0.05,
        blocks=2,
        block_runs=20,
        block_s=0,
        block_samples=5_000,
        cooldown_s=0,
        sentinel_runs=20,
        sentinel_drift=0.03,
        retries=0,
        timeout_s=60,
    )
