"""One board, with its reference engines, for all tests of this folder: it takes some seconds to set up."""

import pytest

from autokd_edge.backends.openvino.board import OpenVINOBoard
from autokd_edge.backends.openvino.builder import OpenVINOBuilder
from autokd_edge.backends.openvino.quantize import NNCFQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink


@pytest.fixture(scope="session")
def variant():
    return Variant(backend="openvino", precision="fp32")


@pytest.fixture(scope="session")
def int8():
    return Variant(backend="openvino", precision="int8")


@pytest.fixture(scope="session")
def builder():
    return OpenVINOBuilder(LocalLink())


@pytest.fixture(scope="session")
def quantizer():
    return NNCFQuantizer(LocalLink())


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openvino")
    return OpenVINOBoard(LocalLink(), Lease(folder / "lock"), folder)
