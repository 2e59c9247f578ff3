"""The ONNX Runtime builder."""

import importlib.metadata
from collections import Counter
from dataclasses import replace

import onnx
import pytest
from contracts.builder import BuilderContract
from fakes.graphs import write_graph
from fakes.link import FakeLink

from autokd_edge.backends.onnxruntime.builder import ONNX_RUNTIME, ONNXRuntimeBuilder
from autokd_edge.core.digest import digest_of_file
from autokd_edge.devices.runtime import NOISE_PROGRAM
from autokd_edge.errors import BuildError
from autokd_edge.ports import Finished


@pytest.mark.slow
class TestONNXRuntimeBuilder(BuilderContract):
    def test_an_engine_is_a_graph_whose_fused_nodes_are_named_by_what_they_give(self, builder, variant, target, tmp_path):
        builder.build(write_graph(tmp_path / "g.onnx"), variant=variant, target=target, out=tmp_path / "engine")
        nodes = onnx.load(tmp_path / "engine").graph.node
        assert [node.name for node in nodes] == [node.output[0] for node in nodes]
        kinds = Counter(node.op_type for node in nodes)
        assert kinds["Conv"] + kinds["FusedConv"] == 3
        assert kinds["Relu"] == 0


def test_the_toolchain_is_what_is_installed(builder):
    versions = {name: importlib.metadata.version(name) for name in ("onnxruntime", "onnx")}
    files = (ONNX_RUNTIME.driver, ONNX_RUNTIME.quantize_driver, NOISE_PROGRAM)
    programs = {f"onnxruntime/{file.name}": digest_of_file(file) for file in files}
    assert builder.toolchain() == versions | programs


@pytest.mark.parametrize("name", ["onnxruntime/fp16", "openvino/fp32"])
def test_a_variant_of_no_use_here_is_refused_before_anything_runs(name, variant, target, tmp_path):
    backend, precision = name.split("/")
    link = FakeLink(lambda _argv, _request: {})
    with pytest.raises(BuildError, match=f"builds onnxruntime/fp32, onnxruntime/int8; got '{name}'"):
        ONNXRuntimeBuilder(link).build(
            write_graph(tmp_path / "g"), variant=replace(variant, backend=backend, precision=precision), target=target, out=tmp_path / "e"
        )
    assert link.modes == []


def test_dynamic_int8_is_refused_and_the_reason_and_another_way_are_given(variant, target, tmp_path):
    link = FakeLink(lambda _argv, _request: {})
    dynamic = replace(variant, precision="int8-dynamic")
    with pytest.raises(BuildError, match=r"int8-dynamic is refused.*slower than in float\. Hint: use onnxruntime/int8"):
        ONNXRuntimeBuilder(link).build(write_graph(tmp_path / "g"), variant=dynamic, target=target, out=tmp_path / "e")
    assert link.modes == []


def test_without_the_package_the_error_says_what_to_install(variant, target, tmp_path):
    missing = Finished(status=1, stdout=b"", stderr=b"ModuleNotFoundError: No module named 'onnxruntime'\n")
    builder = ONNXRuntimeBuilder(FakeLink(lambda _argv, _request: missing))
    with pytest.raises(BuildError, match=r"pip install 'autokd-edge\[onnxruntime\]'"):
        builder.build(write_graph(tmp_path / "g"), variant=variant, target=target, out=tmp_path / "engine")
    assert not (tmp_path / "engine").exists()
