"""What every backend keeps as a whole: the suite that the package ships."""

from autokd_edge.conformance.backend import BackendContract, ThoroughBackendContract

__all__ = ["BackendContract", "ThoroughBackendContract"]
