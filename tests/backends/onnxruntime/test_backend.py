"""ONNX Runtime as a whole."""

import pytest
from contracts.backend import BackendContract, ThoroughBackendContract

from autokd_edge.conformance.layer_timer import LayerTimerContract


@pytest.mark.slow
class TestONNXRuntime(BackendContract):
    pass


@pytest.mark.slow
class TestONNXRuntimeLayerTimes(LayerTimerContract):
    pass


@pytest.mark.thorough
class TestONNXRuntimeThoroughly(ThoroughBackendContract):
    pass
