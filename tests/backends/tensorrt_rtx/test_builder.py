"""NVIDIA engines, built by NVIDIA's compiler without a GPU: the proof that our quantised graphs obey its rules."""

import dataclasses

import onnx
import pytest
from contracts.builder import BuilderContract
from fakes.graphs import write_graph, write_samples
from onnx import TensorProto, helper
from students.networks import nago_members

from autokd_edge.backends.tensorrt_rtx.board import AbsentGPU
from autokd_edge.core.student import Task
from autokd_edge.core.target import Variant
from autokd_edge.errors import BuildError, NoDeviceError, UnsupportedOperationError
from autokd_edge.students.lower_onnx import onnx_from_spec

TASK = Task(image=(1, 16, 16), classes=5, channel_multiple=8)


@pytest.mark.slow
class TestRTXBuilder(BuilderContract):
    pass


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    spec = next(nago_members(TASK, op="separable", count=1, seed=4))
    (folder / "student.onnx").write_bytes(onnx_from_spec(spec).SerializeToString(deterministic=True))
    write_samples(folder / "samples.npy", 8, shape=spec.input)
    return folder


@pytest.fixture
def for_chip(target):
    return lambda *capabilities: dataclasses.replace(target, compute_capabilities=capabilities)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["8.6", "8.9", "12.0"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_student_is_built_for_a_chip_that_is_not_here(builder, quantizer, student, for_chip, capability, precision, tmp_path):
    chip, asked, graph = for_chip(capability), Variant(backend="tensorrt_rtx", precision=precision), student / "student.onnx"
    if precision == "int8":
        quantizer.quantize(graph, student / "samples.npy", variant=asked, target=chip, out=tmp_path / "q.onnx")
        graph = tmp_path / "q.onnx"
    layers = builder.inspected(graph, variant=asked, target=chip, out=tmp_path / "engine")
    assert (tmp_path / "engine").stat().st_size > 1000
    convolutions = sum(node.op_type == "Conv" for node in onnx.load(student / "student.onnx").graph.node)
    assert layers.get({"fp32": "f32", "fp16": "f16", "int8": "i8"}[precision], 0) >= convolutions


@pytest.mark.slow
def test_one_engine_serves_all_chips_of_the_target(builder, student, target, for_chip, variant, tmp_path):
    for name, chips in (("one", for_chip("8.9")), ("all", target)):
        builder.build(student / "student.onnx", variant=variant, target=chips, out=tmp_path / name)
    assert (tmp_path / "all").stat().st_size > (tmp_path / "one").stat().st_size


@pytest.mark.slow
def test_nvidias_compiler_takes_no_dequantised_integer_bias(builder, target, int8, tmp_path):
    """The rule that our lint keeps is the compiler's own: here it is asked itself, past the lint."""
    model = onnx.load(write_graph(tmp_path / "g.onnx"))
    model.graph.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]))
    model.graph.initializer.append(helper.make_tensor("bias", TensorProto.INT32, [8], [1] * 8))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["bias", "scale"], ["float_bias"]))
    next(node for node in model.graph.node if node.op_type == "Conv").input.append("float_bias")
    onnx.save(model, tmp_path / "g.onnx")
    with pytest.raises(UnsupportedOperationError, match="no dequantised INT32 bias"):
        builder.build(tmp_path / "g.onnx", variant=int8, target=target, out=tmp_path / "engine")
    request = {"graph": str(tmp_path / "g.onnx"), "out": str(tmp_path / "engine"), "precision": "fp32", "compute_capabilities": ["8.9"]}
    refused = builder._runtime.ask("build", request, timeout_s=60, failure=BuildError)["refused"]
    assert "Int32" in refused
    assert not (tmp_path / "engine").exists()


@pytest.mark.slow
def test_an_operation_that_the_compiler_does_not_know_is_named(builder, variant, target, tmp_path):
    model = onnx.load(write_graph(tmp_path / "g.onnx"))
    model.graph.node[1].op_type, model.graph.node[1].domain = "Frobnicate", "nowhere"
    model.opset_import.append(helper.make_opsetid("nowhere", 1))
    onnx.save(model, tmp_path / "g.onnx")
    with pytest.raises(BuildError, match="Frobnicate"):
        builder.build(tmp_path / "g.onnx", variant=variant, target=target, out=tmp_path / "engine")
    assert not (tmp_path / "engine").exists()


def test_a_chip_that_the_compiler_does_not_build_for_is_refused_before_it_runs(builder, variant, for_chip, tmp_path):
    with pytest.raises(UnsupportedOperationError, match=r"compute capabilities 7.5, .*; target 'rtx' has 8.7"):
        builder.build(write_graph(tmp_path / "g.onnx"), variant=variant, target=for_chip("8.7"), out=tmp_path / "engine")


@pytest.mark.parametrize("name", ["tensorrt_rtx/bf16", "tensorrt/fp32"])
def test_a_variant_of_another_backend_is_refused(builder, variant, target, name, tmp_path):
    backend, precision = name.split("/")
    asked = dataclasses.replace(variant, backend=backend, precision=precision)
    with pytest.raises(BuildError, match=f"builds tensorrt_rtx/fp32, tensorrt_rtx/fp16, tensorrt_rtx/int8; got '{name}'"):
        builder.build(tmp_path / "none", variant=asked, target=target, out=tmp_path / "engine")


def test_a_file_that_is_no_graph_is_refused(builder, variant, target, tmp_path):
    for name, data in {"none": None, "nonsense": b"nonsense", "cut off": write_graph(tmp_path / "whole").read_bytes()[:-100]}.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(BuildError, match="must be an ONNX file"):
            builder.build(tmp_path / name, variant=variant, target=target, out=tmp_path / "engine")


def test_the_toolchain_is_what_is_installed(builder):
    assert builder.toolchain()["tensorrt_rtx_cu13"][0].isdigit()


def test_measuring_and_running_say_that_the_gpu_is_not_here(target, variant, protocol, tmp_path):
    with pytest.raises(NoDeviceError, match=r"compute capability 8.6, 8.9, 12.0\) is built ahead of time and cannot be measured here"):
        AbsentGPU().measure(tmp_path / "engine", variant=variant, target=target, protocol=protocol)
    with pytest.raises(NoDeviceError, match="cannot be run here"):
        AbsentGPU().infer(tmp_path / "engine", tmp_path / "samples", variant=variant, target=target, out=tmp_path / "logits")
