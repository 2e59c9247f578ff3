"""One board, with its reference engines, for all tests of this folder: it takes some seconds to set up."""

import pytest

from autokd_edge.backends.openvino.board import OpenVINOBoard
from autokd_edge.backends.openvino.builder import OpenVINOBuilder
from autokd_edge.backends.openvino.quantize import NNCFQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Backend


@pytest.fixture(scope="session")
def variant():
    return Variant(backend="openvino", precision="fp32")


@pytest.fixture(scope="session")
def int8():
    return Variant(backend="openvino", precision="int8")


@pytest.fixture(scope="session")
def backend(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openvino")
    board = OpenVINOBoard(LocalLink(), Lease(folder / "lock"), folder)
    quantizer = NNCFQuantizer(LocalLink())
    return Backend(name="openvino", builder=OpenVINOBuilder(LocalLink()), quantizer=quantizer, board=board, layer_timer=board)


@pytest.fixture(scope="session")
def builder(backend):
    return backend.builder


@pytest.fixture(scope="session")
def quantizer(backend):
    return backend.quantizer


@pytest.fixture(scope="session")
def board(backend):
    return backend.board
