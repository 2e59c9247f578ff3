"""One board, with its reference engines, for all tests of this folder: it takes some seconds to set up."""

import pytest

from autokd_edge.backends.tvm.board import TVMBoard
from autokd_edge.backends.tvm.builder import TVMBuilder
from autokd_edge.backends.tvm.quantize import TVMQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.devices.board import Place
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink


@pytest.fixture(scope="session")
def variant():
    return Variant(backend="tvm", precision="fp32")


@pytest.fixture(scope="session")
def int8():
    return Variant(backend="tvm", precision="int8")


@pytest.fixture(scope="session")
def builder():
    return TVMBuilder()


@pytest.fixture(scope="session")
def quantizer():
    return TVMQuantizer(LocalLink())


@pytest.fixture(scope="session")
def board(builder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tvm")
    return TVMBoard(builder, Place(link=LocalLink(), lease=Lease(folder / "lock"), folder=folder))
