"""The fixtures that all suites share: the parts of a backend, its variants on a target, and a short protocol."""

from __future__ import annotations

import pytest

from autokd_edge.core.measure import Protocol
from autokd_edge.core.target import Target, Variant
from autokd_edge.ports import Backend, Board, Builder, Quantizer


class BackendFixtures:
    """Give ``backend`` and ``target``; the others follow from them, and each may be given instead."""

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
    def variants(self, backend: Backend, target: Target) -> tuple[Variant, ...]:
        """Return the variants that the target allows of this backend."""
        return tuple(variant for variant in target.variants if variant.backend == backend.name)

    @pytest.fixture
    def variant(self, variants: tuple[Variant, ...]) -> Variant:
        """Return the fp32 variant."""
        return next(variant for variant in variants if variant.precision == "fp32")

    @pytest.fixture
    def int8(self, variants: tuple[Variant, ...]) -> Variant:
        """Return the int8 variant."""
        return next(variant for variant in variants if variant.precision == "int8")

    @pytest.fixture
    def protocol(self) -> Protocol:
        """Return a protocol of a tenth of a second."""
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
