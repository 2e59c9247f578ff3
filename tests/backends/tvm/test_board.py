"""The TVM board."""

import pytest
from contracts.board import BoardContract


@pytest.mark.slow
class TestTVMBoard(BoardContract):
    @pytest.fixture
    def origin(self):
        return "device"
