"""OpenVINO as a whole."""

import pytest
from contracts.backend import BackendContract, ThoroughBackendContract


@pytest.mark.slow
class TestOpenVINO(BackendContract):
    pass


@pytest.mark.thorough
class TestOpenVINOThoroughly(ThoroughBackendContract):
    pass
