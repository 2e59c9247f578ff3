"""The stand-in trtexec of one version for the conformance suites."""

import dataclasses

import pytest
from fakes.jetson import FakeJetson

from autokd_edge.backends.tensorrt.quantize import ExplicitQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Backend


def variant_of(precision):
    return Variant(backend="tensorrt", precision=precision)


@pytest.fixture(scope="session")
def variant():
    return variant_of("fp32")


@pytest.fixture(scope="session")
def int8():
    return variant_of("int8")


@pytest.fixture(scope="session")
def target():
    return load_target("jetson-orin-nano")[0]


@pytest.fixture(scope="session")
def nano():
    return load_target("jetson-nano")[0]


@pytest.fixture(scope="session")
def jetson(tmp_path_factory):
    return FakeJetson(tmp_path_factory.mktemp("jetson"), "8.6.1")


@pytest.fixture(scope="session")
def backend(jetson):
    quantizer = ExplicitQuantizer("tensorrt", LocalLink())
    return Backend(name="tensorrt", builder=jetson.builder, quantizer=quantizer, board=jetson.board, layer_timer=jetson.board)


@pytest.fixture(scope="session")
def builder(backend):
    return backend.builder


@pytest.fixture(scope="session")
def board(backend):
    return backend.board


@pytest.fixture(scope="session")
def layer_timer(backend):
    return backend.layer_timer


@pytest.fixture(scope="session")
def quantizer(backend):
    return backend.quantizer


@pytest.fixture(scope="session")
def protocol(protocol):
    return dataclasses.replace(protocol, warmup_s=0.002)
