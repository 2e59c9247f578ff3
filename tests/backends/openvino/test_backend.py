"""OpenVINO as a whole."""

import pytest
from contracts.backend import BackendContract, ThoroughBackendContract

from autokd_edge.conformance.layer_timer import LayerTimerContract


@pytest.mark.slow
class TestOpenVINO(BackendContract):
    pass


@pytest.mark.slow
class TestOpenVINOLayerTimes(LayerTimerContract):
    pass


@pytest.mark.thorough
class TestOpenVINOThoroughly(ThoroughBackendContract):
    pass
