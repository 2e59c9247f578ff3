"""What a bundle takes along by its backend."""

import dataclasses

import pytest
from fakes.bundle import sample_card
from fakes.study import sample_measurement

from autokd_edge.api.native import engine_name, files_beside, runtime_of
from autokd_edge.bundle.manifest import Runtime
from autokd_edge.ports import Backend


class FakeLibraryBuilder:
    """Writes a library of a few bytes and says from which graph."""

    def library(self, graph, *, variant, target, folder):
        (folder / "libstudent.a").write_text(f"{graph.name} as {variant} for {target.name}")

    def module(self, graph, *, variant, target, folder):
        (folder / "autokd_student.so").write_text(f"{graph.name} as {variant} for {target.name}")


@pytest.fixture
def backend():
    return Backend(name="openvino", builder=None, quantizer=None, board=None)


def test_an_engine_that_a_runtime_loads_names_the_runtime_and_takes_nothing_along(backend, tmp_path):
    measurement = dataclasses.replace(sample_measurement(1e5), toolchain={"openvino": "1.2"})
    assert runtime_of(backend, measurement) == Runtime(package="openvino", version="1.2")
    assert files_beside(backend, tmp_path / "g.onnx", sample_card(), tmp_path) == {}
    assert engine_name(backend) == "engine.blob"


def test_an_engine_that_is_a_program_takes_its_library_an_example_and_a_makefile_along(backend, tmp_path):
    alone = dataclasses.replace(backend, library=FakeLibraryBuilder())
    assert runtime_of(alone, sample_measurement(1e5)) is None
    found = files_beside(alone, tmp_path / "g.onnx", sample_card(), tmp_path)
    assert set(found) == {"Makefile", "autokd_card.h", "classify.c", "libstudent.a"}
    assert found["libstudent.a"].read_text() == f"g.onnx as {sample_card().variant} for host"
    assert 'autokd_labels[] = {"T-shirt/top", "Trouser"' in found["autokd_card.h"].read_text()
    assert engine_name(alone) == "engine"


def test_the_runtime_form_takes_the_module_and_its_runner_along_too(backend, tmp_path):
    alone = dataclasses.replace(backend, library=FakeLibraryBuilder())
    found = files_beside(alone, tmp_path / "g.onnx", sample_card(), tmp_path, module=True)
    assert set(found) == {"Makefile", "autokd_card.h", "autokd_student.so", "classify.c", "libstudent.a", "runner.cc"}
    assert "run-module" in found["Makefile"].read_text()
