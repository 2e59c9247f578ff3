"""One board, with its reference engines, for all tests of this folder: it takes some seconds to set up."""

from dataclasses import replace

import pytest

from autokd_edge.backends.onnxruntime.board import ONNXRuntimeBoard
from autokd_edge.backends.onnxruntime.builder import ONNXRuntimeBuilder
from autokd_edge.backends.onnxruntime.quantize import ONNXRuntimeQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Backend

FLOAT, INT8 = (Variant(backend="onnxruntime", precision=precision) for precision in ("fp32", "int8"))


@pytest.fixture(scope="session")
def variant():
    return FLOAT


@pytest.fixture(scope="session")
def int8():
    return INT8


@pytest.fixture(scope="session")
def target(target):
    """This machine, with the variants of the backend under test."""
    return replace(target, variants=(FLOAT, INT8))


@pytest.fixture(scope="session")
def backend(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnxruntime")
    board = ONNXRuntimeBoard(LocalLink(), Lease(folder / "lock"), folder)
    quantizer = ONNXRuntimeQuantizer(LocalLink())
    return Backend(
        name="onnxruntime",
        builder=ONNXRuntimeBuilder(LocalLink()),
        quantizer=quantizer,
        board=board,
        layer_timer=board,
    )


@pytest.fixture(scope="session")
def builder(backend):
    return backend.builder


@pytest.fixture(scope="session")
def quantizer(backend):
    return backend.quantizer


@pytest.fixture(scope="session")
def board(backend):
    return backend.board
