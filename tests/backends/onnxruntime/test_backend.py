"""ONNX Runtime as a whole."""

import pytest
from contracts.backend import BackendContract, ThoroughBackendContract


@pytest.mark.slow
class TestONNXRuntime(BackendContract):
    pass


@pytest.mark.thorough
class TestONNXRuntimeThoroughly(ThoroughBackendContract):
    pass
