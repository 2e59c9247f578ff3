"""What every Quantizer keeps: the suite that the package ships."""

from autokd_edge.conformance.quantizer import QuantizerContract

__all__ = ["QuantizerContract"]
