"""The fixtures that the suites ask for, made of a backend: its parts, its variants, and a short protocol."""

from __future__ import annotations

import pytest

from autokd_edge.core.measure import Protocol
from autokd_edge.core.target import Variant
from autokd_edge.ports import Backend, Board, Builder, Quantizer

SHORT = Protocol(  # a tenth of a second
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


class BackendFixtures:
    """Inherit this before a suite and give ``backend`` and ``target``; or give the suite's fixtures themselves."""

    @pytest.fixture
    def builder(self, backend: Backend) -> Builder:
        """Return the compiler under test."""
        return backend.builder

    @pytest.fixture
    def quantizer(self, backend: Backend) -> Quantizer:
        """Return the quantiser under test."""
        return backend.quantizer

    @pytest.fixture
    def board(self, backend: Backend) -> Board:
        """Return what runs the engines under test."""
        return backend.board

    @pytest.fixture
    def variant(self, backend: Backend) -> Variant:
        """Return the fp32 variant."""
        return Variant(backend=backend.name, precision="fp32")

    @pytest.fixture
    def int8(self, backend: Backend) -> Variant:
        """Return the int8 variant."""
        return Variant(backend=backend.name, precision="int8")

    @pytest.fixture
    def protocol(self) -> Protocol:
        """Return ``SHORT``."""
        return SHORT
