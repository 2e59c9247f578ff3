"""The OpenVINO builder."""

import importlib.metadata
from contextlib import nullcontext
from dataclasses import replace

import onnx
import pytest
from contracts.builder import BuilderContract
from fakes.graphs import write_graph
from fakes.link import FakeLink
from onnx import helper

from autokd_edge.backends.openvino.builder import OPENVINO_GPU, OPENVINO_NPU, OpenVINOBuilder
from autokd_edge.core.target import Variant
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import AbsentDeviceError, BuildError, MeasureError
from autokd_edge.ports import Finished


@pytest.mark.slow
class TestOpenVINOBuilder(BuilderContract):
    def test_an_operation_that_the_compiler_does_not_know_is_named(self, builder, variant, target, tmp_path):
        model = onnx.load(write_graph(tmp_path / "graph.onnx"))
        model.graph.node.append(helper.make_node("Frobnicate", ["logits"], ["more"], domain="nowhere"))
        model.graph.output[0].name = "more"
        model.opset_import.append(helper.make_opsetid("nowhere", 1))
        onnx.save(model, tmp_path / "graph.onnx")
        with pytest.raises(BuildError, match="Frobnicate"):
            builder.build(tmp_path / "graph.onnx", variant=variant, target=target, out=tmp_path / "engine")
        assert not (tmp_path / "engine").exists()


def test_the_toolchain_is_what_is_installed(builder):
    toolchain = builder.toolchain()
    assert toolchain["openvino"] == importlib.metadata.version("openvino")
    assert {"nncf", "onnx", "onnxruntime"} <= set(toolchain)


@pytest.mark.parametrize("name", ["openvino/fp16", "tvm/fp32"])
def test_a_variant_of_no_use_here_is_refused_before_anything_runs(name, variant, target, tmp_path):
    backend, precision = name.split("/")
    link = FakeLink(lambda _argv, _request: {})
    with pytest.raises(BuildError, match=f"builds openvino/fp32, openvino/bf16, openvino/int8; got '{name}'"):
        OpenVINOBuilder(link).build(
            write_graph(tmp_path / "g"), variant=replace(variant, backend=backend, precision=precision), target=target, out=tmp_path / "e"
        )
    assert link.modes == []


@pytest.mark.parametrize(
    ("answer", "said", "retryable"),
    [
        (Finished(status=-11, stdout=b"", stderr=b"jit: emitting\n"), "crashed with SIGSEGV; its last line: jit: emitting", False),
        (MeasureError("must end within 120 s", retryable=True), "must end within 120 s", True),
        (Finished(status=1, stdout=b"", stderr=b"ModuleNotFoundError: No module named 'openvino'\n"), "pip install 'autokd-edge", False),
    ],
)
def test_a_compiler_that_crashes_or_hangs_is_a_build_error(answer, said, retryable, variant, target, tmp_path):
    builder = OpenVINOBuilder(FakeLink(lambda _argv, _request: answer))
    with pytest.raises(BuildError) as caught:
        builder.build(write_graph(tmp_path / "g"), variant=variant, target=target, out=tmp_path / "engine")
    assert said in str(caught.value)
    assert caught.value.retryable is retryable
    assert not (tmp_path / "engine").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "plugin"), [(OPENVINO_GPU, "GPU"), (OPENVINO_NPU, "NPU")], ids=["gpu", "npu"])
def test_a_device_that_is_not_there_is_named_with_those_that_are(runtime, plugin, target, tmp_path):
    openvino = pytest.importorskip("openvino")
    is_there = any(device.startswith(plugin) for device in openvino.Core().available_devices)
    said = pytest.raises(AbsentDeviceError, match=f"this engine needs an Intel {plugin} and its driver; OpenVINO sees CPU")
    half = Variant(backend=runtime.name, precision="fp16")
    with nullcontext() if is_there else said:
        OpenVINOBuilder(LocalLink(), runtime=runtime).build(
            write_graph(tmp_path / "g.onnx"), variant=half, target=target, out=tmp_path / "engine"
        )
    assert (tmp_path / "engine").exists() == is_there


def test_what_a_gpu_and_an_npu_are_asked_for(target, tmp_path):
    asked = []

    def answer(_argv, request):
        asked.append((request["plugin"], request["precision_hint"]))
        return {}

    for runtime, precision in ((OPENVINO_GPU, "fp16"), (OPENVINO_GPU, "int8"), (OPENVINO_NPU, "int8")):
        variant = Variant(backend=runtime.name, precision=precision)
        builder = OpenVINOBuilder(FakeLink(answer), runtime=runtime)
        builder.build(write_graph(tmp_path / "g.onnx"), variant=variant, target=target, out=tmp_path / "engine")
    assert asked == [("GPU", "f16"), ("GPU", "f16"), ("NPU", "f16")]
    with pytest.raises(BuildError, match="builds openvino-npu/fp16, openvino-npu/int8; got 'openvino-npu/fp32'"):
        builder.build(write_graph(tmp_path / "g.onnx"), variant=replace(variant, precision="fp32"), target=target, out=tmp_path / "engine")
