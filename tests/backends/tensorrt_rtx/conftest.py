"""TensorRT-RTX without a GPU."""

import pytest

from autokd_edge.backends.tensorrt.quantize import ExplicitQuantizer
from autokd_edge.backends.tensorrt_rtx.board import AbsentGPU
from autokd_edge.backends.tensorrt_rtx.builder import RTXBuilder
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Backend


@pytest.fixture(scope="session")
def variant():
    return Variant(backend="tensorrt_rtx", precision="fp32")


@pytest.fixture(scope="session")
def int8():
    return Variant(backend="tensorrt_rtx", precision="int8")


@pytest.fixture(scope="session")
def target():
    return load_target("rtx")[0]


@pytest.fixture(scope="session")
def backend():
    quantizer = ExplicitQuantizer("tensorrt_rtx", LocalLink())
    return Backend(name="tensorrt_rtx", builder=RTXBuilder(LocalLink()), quantizer=quantizer, board=AbsentGPU())


@pytest.fixture(scope="session")
def builder(backend):
    return backend.builder


@pytest.fixture(scope="session")
def quantizer(backend):
    return backend.quantizer


@pytest.fixture(scope="session")
def board(backend):
    return backend.board
