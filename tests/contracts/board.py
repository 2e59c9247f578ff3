"""What every Board keeps: the suite that the package ships."""

from autokd_edge.conformance.board import BoardContract

__all__ = ["BoardContract"]
