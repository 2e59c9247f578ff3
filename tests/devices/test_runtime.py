"""Asking a runtime to quantise and to build, and the program that quantises."""

from dataclasses import replace

import onnx
import pytest
from fakes.backend import FAKE_TARGET
from fakes.graphs import write_graph, write_samples
from fakes.link import FakeLink
from fakes.runtime import FAKE_RUNTIME

from autokd_edge.core.target import Variant
from autokd_edge.devices.link import LocalLink
from autokd_edge.devices.runtime import LinkedRuntime
from autokd_edge.errors import BuildError, QuantizeError

FLOAT, INT8 = (Variant(backend="fake", precision=precision) for precision in ("fp32", "int8"))
HERE = LinkedRuntime(runtime=FAKE_RUNTIME, link=LocalLink())


def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it():
    with pytest.raises(BuildError, match=r"backend 'fake' needs the package 'no-such-package'\. Hint: pip install fake"):
        LinkedRuntime(runtime=replace(FAKE_RUNTIME, packages=("numpy", "no-such-package")), link=LocalLink()).toolchain()


def test_a_build_carries_the_threads_of_the_target_and_the_settings_of_the_variant(tmp_path):
    asked = []
    link = FakeLink(lambda argv, request: asked.append((list(argv[-2:]), request)) or {"said": "yes"})
    graph = write_graph(tmp_path / "graph.onnx")
    built = LinkedRuntime(runtime=FAKE_RUNTIME, link=link).build(
        graph, variant=FLOAT, target=replace(FAKE_TARGET, threads=3), out=tmp_path / "engine", timeout_s=7
    )
    assert built == {"said": "yes"}
    request = {"graph": str(graph), "out": str(tmp_path / "engine"), "threads": 3, "hint": "fp32", "timeout_s": 7}
    assert asked == [([str(FAKE_RUNTIME.driver), "build"], request)]


@pytest.mark.slow
def test_a_quantiser_is_given_the_input_at_most_300_samples_whether_int8_saturates_and_what_to_keep(tmp_path):
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy", 310)
    target = replace(FAKE_TARGET, int8_saturates=True)
    HERE.quantize(graph, samples, variant=INT8, target=target, keep=("a",), out=tmp_path / "q.onnx", timeout_s=60)
    assert onnx.load(tmp_path / "q.onnx").doc_string == "input, 300 samples, saturates True, keeps a"


@pytest.mark.slow
def test_no_samples_at_all_are_a_quantize_error(tmp_path):
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy", 0)
    with pytest.raises(QuantizeError, match=r"must be float32 \(n, 1, 12, 12\); got float32 \(0, 1, 12, 12\)"):
        HERE.quantize(graph, samples, variant=INT8, target=FAKE_TARGET, keep=(), out=tmp_path / "q.onnx", timeout_s=60)
    assert not (tmp_path / "q.onnx").exists()


def test_an_answer_without_a_report_is_a_quantize_error(tmp_path):
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
    with pytest.raises(QuantizeError, match="must report on each layer; field 'layers'"):
        LinkedRuntime(runtime=FAKE_RUNTIME, link=FakeLink(lambda _argv, _request: {})).quantize(
            graph, samples, variant=INT8, target=FAKE_TARGET, keep=(), out=tmp_path / "q.onnx", timeout_s=1
        )
    assert not (tmp_path / "q.onnx").exists()


def test_a_variant_that_is_not_int8_of_this_backend_is_refused_before_anything_runs(tmp_path):
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy")
    link = FakeLink(lambda _argv, _request: {})
    for variant in (FLOAT, replace(INT8, backend="tvm")):
        with pytest.raises(QuantizeError, match=f"is for fake/int8; got '{variant}'"):
            LinkedRuntime(runtime=FAKE_RUNTIME, link=link).quantize(
                graph, samples, variant=variant, target=FAKE_TARGET, keep=(), out=tmp_path / "q.onnx", timeout_s=1
            )
    assert link.modes == []
