"""TVM as a whole."""

import pytest
from contracts.backend import BackendContract, ThoroughBackendContract


@pytest.mark.slow
class TestTVM(BackendContract):
    pass


@pytest.mark.thorough
class TestTVMThoroughly(ThoroughBackendContract):
    pass
