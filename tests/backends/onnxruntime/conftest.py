"""One board, with its reference engines, for all tests of this folder: it takes some seconds to set up."""

import pytest

from autokd_edge.backends.onnxruntime.board import ONNXRuntimeBoard
from autokd_edge.backends.onnxruntime.builder import ONNXRuntimeBuilder
from autokd_edge.backends.onnxruntime.quantize import ONNXRuntimeQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink


@pytest.fixture(scope="session")
def variant():
    return Variant(backend="onnxruntime", precision="fp32")


@pytest.fixture(scope="session")
def int8():
    return Variant(backend="onnxruntime", precision="int8")


@pytest.fixture(scope="session")
def builder():
    return ONNXRuntimeBuilder(LocalLink())


@pytest.fixture(scope="session")
def quantizer():
    return ONNXRuntimeQuantizer(LocalLink())


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnxruntime")
    return ONNXRuntimeBoard(LocalLink(), Lease(folder / "lock"), folder)
