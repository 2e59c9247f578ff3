"""TVM as a whole."""

import pytest
from contracts.backend import BackendContract, ThoroughBackendContract

from autokd_edge.conformance.layer_timer import LayerTimerContract


@pytest.mark.slow
class TestTVM(BackendContract):
    pass


@pytest.mark.slow
class TestTVMLayerTimes(LayerTimerContract):
    pass


@pytest.mark.thorough
class TestTVMThoroughly(ThoroughBackendContract):
    pass
