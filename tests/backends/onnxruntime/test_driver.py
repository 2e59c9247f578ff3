"""ONNX Runtime's part of the device program."""

import json
import shutil

import numpy as np
import onnx
import pytest
from fakes.device import run_device_program
from fakes.graphs import write_graph, write_samples

from autokd_edge.backends.onnxruntime import driver
from autokd_edge.backends.onnxruntime.builder import ONNX_RUNTIME
from autokd_edge.devices.runtime import DEVICE_PROGRAM


@pytest.mark.slow
def test_two_files_alone_build_and_infer(builder, variant, target, tmp_path):
    program, part = (shutil.copy(path, tmp_path) for path in (DEVICE_PROGRAM, ONNX_RUNTIME.driver))
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy", 3)
    request = {"threads": 1, "graph": str(graph), "out": str(tmp_path / "raw")}
    built = run_device_program(part, "build", request, program=program)
    assert json.loads(built.stdout) == {"vectors": driver.vectors()}
    builder.build(graph, variant=variant, target=target, out=tmp_path / "engine")  # the builder notes the vectors in it
    request = {"threads": 1, "engine": str(tmp_path / "engine"), "inputs": str(samples), "out": str(tmp_path / "out")}
    ran = run_device_program(part, "infer", request, program=program)
    assert json.loads(ran.stdout) == {"samples": 3}
    assert np.load(tmp_path / "out").shape == (3, 5)


@pytest.mark.slow
def test_the_profile_counts_each_kernel_of_the_engine_once(builder, variant, target, tmp_path):
    builder.build(write_graph(tmp_path / "g.onnx"), variant=variant, target=target, out=tmp_path / "engine")
    engine = driver.load({"threads": 1}, str(tmp_path / "engine"))
    assert engine.executed() == {"f32": len(onnx.load(tmp_path / "engine").graph.node)}


@pytest.mark.parametrize(
    ("kernel", "precision"),
    [
        ({"op_name": "Conv", "input_type_shape": [{"float": [1, 8, 4, 4]}]}, "f32"),
        ({"op_name": "QLinearConv", "input_type_shape": [{"uint8": [1, 4, 4, 8]}, {"float": []}]}, "u8"),
        ({"op_name": "QLinearAdd", "input_type_shape": [{"int8": [1, 4, 4, 8]}, {"float": []}]}, "i8"),
        ({"op_name": "QuantizeLinear", "input_type_shape": [{"float": [1, 8, 4, 4]}]}, "f32"),
        ({"op_name": "DequantizeLinear", "input_type_shape": [{"uint8": [1, 8, 4, 4]}]}, "f32"),
        ({"op_name": "Conv", "input_type_shape": [{"bfloat16": [1, 8, 4, 4]}]}, "bf16"),
        ({"op_name": "Conv", "input_type_shape": [{"float8e5m2": [1, 8, 4, 4]}]}, "float8e5m2"),
    ],
)
def test_a_kernel_runs_in_the_type_that_it_reads_and_a_conversion_in_float(kernel, precision):
    assert driver._precision(kernel) == precision


def test_this_processor_has_vectors_that_are_known():
    assert driver.vectors() in driver.VECTOR_FLAGS
