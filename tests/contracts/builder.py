"""What every Builder keeps: the suite that the package ships."""

from autokd_edge.conformance.builder import BuilderContract

__all__ = ["BuilderContract"]
