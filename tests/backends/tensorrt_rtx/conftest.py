"""TensorRT-RTX without a GPU."""

import pytest

from autokd_edge.backends.tensorrt.quantize import ExplicitQuantizer
from autokd_edge.backends.tensorrt_rtx.builder import RTXBuilder
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.link import LocalLink


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
def builder():
    return RTXBuilder(LocalLink())


@pytest.fixture(scope="session")
def quantizer():
    return ExplicitQuantizer("tensorrt_rtx", LocalLink())
