"""One board, with its reference engines, and one compiler for all tests of this folder: they take some seconds to set up."""

from dataclasses import replace

import pytest
from fakes.emulated import EmulatedLink

from autokd_edge.backends.tvm.board import TVMBoard
from autokd_edge.backends.tvm.builder import TVMBuilder
from autokd_edge.backends.tvm.quantize import TVMQuantizer
from autokd_edge.core.target import Variant
from autokd_edge.devices.board import Place
from autokd_edge.devices.descriptors import load_target
from autokd_edge.devices.lease import Lease
from autokd_edge.devices.link import LocalLink
from autokd_edge.ports import Backend

FLOAT, INT8 = (Variant(backend="tvm", precision=precision) for precision in ("fp32", "int8"))


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
    folder = tmp_path_factory.mktemp("tvm")
    builder = TVMBuilder()
    board = TVMBoard(builder, Place(link=LocalLink(), lease=Lease(folder / "lock"), folder=folder))
    return Backend(name="tvm", builder=builder, quantizer=TVMQuantizer(LocalLink()), board=board, layer_timer=board, library=builder)


@pytest.fixture(scope="session")
def builder(backend):
    return backend.builder


@pytest.fixture(scope="session")
def quantizer(backend):
    return backend.quantizer


@pytest.fixture(scope="session")
def board(backend):
    return backend.board


@pytest.fixture(scope="session")
def pi4():
    return load_target("raspberry-pi-4")[0]


@pytest.fixture(scope="session")
def pi5():
    return load_target("raspberry-pi-5")[0]


@pytest.fixture(scope="session")
def a72(backend, tmp_path_factory):
    return _emulated(backend.builder, tmp_path_factory.mktemp("a72"), "cortex-a72")


@pytest.fixture(scope="session")
def a76(backend, tmp_path_factory):
    return _emulated(backend.builder, tmp_path_factory.mktemp("a76"), "max")  # this emulator knows no core with the dot product by name


def _emulated(builder, folder, core):
    link = EmulatedLink(core)
    return TVMBoard(builder, Place(link=link, lease=Lease(folder / "lock"), folder=folder, fingerprint=link.fingerprint))
