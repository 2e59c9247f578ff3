"""What every backend keeps as a whole: the suite that the package ships, and the networks that it asks for."""

from autokd_edge.conformance.backend import BackendContract, ThoroughBackendContract
from autokd_edge.conformance.networks import SHAPES, STUDENT_OPS, student

STUDENTS = {op: student(op) for op in STUDENT_OPS}

__all__ = ["SHAPES", "STUDENTS", "BackendContract", "ThoroughBackendContract"]
