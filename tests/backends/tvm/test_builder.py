"""The TVM builder."""

import importlib.metadata
import shutil
import subprocess
from dataclasses import replace

import onnx
import pytest
from contracts.builder import BuilderContract
from fakes.graphs import write_graph
from onnx import TensorProto, helper

from autokd_edge.errors import BuildError


@pytest.mark.slow
class TestTVMBuilder(BuilderContract):
    def test_an_engine_is_a_static_program(self, builder, variant, target, tmp_path):
        builder.build(write_graph(tmp_path / "g.onnx"), variant=variant, target=target, out=tmp_path / "engine")
        assert (tmp_path / "engine").read_bytes()[:4] == b"\x7fELF"
        segments = output_of("readelf", "-lW", tmp_path / "engine")
        assert "LOAD" in segments
        assert "INTERP" not in segments

    def test_the_library_is_linked_into_a_program_of_anybody_and_shows_one_function(self, builder, variant, target, tmp_path):
        builder.library(write_graph(tmp_path / "g.onnx"), variant=variant, target=target, folder=tmp_path)
        source = '#include "autokd_student.h"\nint main(void) { static float x[144], y[5]; return autokd_run(x, y); }\n'
        (tmp_path / "main.c").write_text(source)
        output_of("gcc", tmp_path / "main.c", tmp_path / "libautokd_student.a", "-o", tmp_path / "main")
        assert subprocess.run([tmp_path / "main"], check=False).returncode == 0
        shown = output_of("nm", "-g", "--defined-only", tmp_path / "libautokd_student.a")
        assert [line.split()[2] for line in shown.splitlines() if " T " in line] == ["autokd_run"]


def output_of(program, *arguments) -> str:
    return subprocess.run([shutil.which(program), *arguments], check=True, capture_output=True, text=True).stdout


def one_operation(path, op, *, shape=(1, 3, 8, 8), **attributes):
    node = helper.make_node(op, ["input"], ["logits"], name="odd one", **attributes)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("input", shape), ("logits", None))]
    model = helper.make_model(helper.make_graph([node], "one", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("op", "shape", "message"),
    [
        ("Erf", (1, 3, 8, 8), "operation Erf of node 'odd one' is none of those that are known: Add, AveragePool"),
        ("Relu", ("n", 3, 8, 8), r"input 'input' must be one float32 image of fixed shape \(1, c, h, w\); got \(n, 3, 8, 8\)"),
        ("Relu", (1, 3, 8, 8), r"output 'logits' must be logits \(1, classes\); got \(1, 3, 8, 8\)"),
    ],
)
def test_a_graph_that_cannot_be_lowered_is_refused_in_one_sentence_that_names_why(op, shape, message, builder, variant, target, tmp_path):
    with pytest.raises(BuildError, match=message):
        builder.build(one_operation(tmp_path / "g.onnx", op, shape=shape), variant=variant, target=target, out=tmp_path / "engine")
    assert not (tmp_path / "engine").exists()


def test_the_toolchain_names_packages_compilers_and_our_sources(builder):
    toolchain = builder.toolchain()
    assert toolchain["apache-tvm"] == importlib.metadata.version("apache-tvm")
    assert {"apache-tvm-ffi", "onnx", "onnxruntime", "gcc-x86_64", "tvm/sources"} <= set(toolchain)


@pytest.mark.parametrize("name", ["tvm/bf16", "openvino/fp32"])
def test_a_variant_of_no_use_here_is_refused(name, builder, variant, target, tmp_path):
    backend, precision = name.split("/")
    with pytest.raises(BuildError, match=f"builds tvm/fp32, tvm/fp16, tvm/int8; got '{name}'"):
        builder.build(
            write_graph(tmp_path / "g"), variant=replace(variant, backend=backend, precision=precision), target=target, out=tmp_path / "e"
        )


def test_a_target_that_is_not_built_for_is_refused(builder, variant, target, tmp_path):
    with pytest.raises(BuildError, match=r"needs riscv64-linux-gnu-gcc|builds for aarch64, x86_64"):
        builder.build(write_graph(tmp_path / "g"), variant=variant, target=replace(target, architecture="riscv64"), out=tmp_path / "e")
    assert not (tmp_path / "e").exists()
