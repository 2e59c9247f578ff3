"""TVM as a whole."""

import pytest
from contracts.backend import BackendContract


@pytest.mark.slow
class TestTVM(BackendContract):
    pass
