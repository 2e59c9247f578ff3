"""ONNX Runtime as a whole."""

import pytest
from contracts.backend import BackendContract


@pytest.mark.slow
class TestONNXRuntime(BackendContract):
    pass
