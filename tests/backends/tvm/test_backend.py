"""TVM as a whole."""

import pytest
from contracts.backend import BackendContract


@pytest.mark.slow
class TestTVM(BackendContract):
    @pytest.fixture
    def variants(self, variant, int8):
        return variant, int8
