"""OpenVINO's part of the device program."""

import json
import shutil

import numpy as np
import pytest
from fakes.device import run_device_program
from fakes.graphs import write_graph, write_samples

from autokd_edge.backends.openvino.builder import OPENVINO
from autokd_edge.core.codec import encode
from autokd_edge.devices.runtime import DEVICE_PROGRAM

REQUEST = {"threads": 1, "precision_hint": "f32", "plugin": "CPU"}


@pytest.mark.slow
def test_two_files_alone_build_and_infer(tmp_path):
    program, driver = (shutil.copy(path, tmp_path) for path in (DEVICE_PROGRAM, OPENVINO.driver))
    graph, samples = write_graph(tmp_path / "graph.onnx"), write_samples(tmp_path / "samples.npy", 3)
    built = run_device_program(driver, "build", {**REQUEST, "graph": str(graph), "out": str(tmp_path / "engine")}, program=program)
    assert json.loads(built.stdout)["layers"]["f32"] > 3
    request = {**REQUEST, "engine": str(tmp_path / "engine"), "inputs": str(samples), "out": str(tmp_path / "out")}
    ran = run_device_program(driver, "infer", request, program=program)
    assert json.loads(ran.stdout) == {"samples": 3}
    assert np.load(tmp_path / "out").shape == (3, 5)


@pytest.mark.slow
def test_an_engine_runs_in_the_float_precision_that_its_import_asks_for(builder, variant, target, protocol, tmp_path):
    builder.build(write_graph(tmp_path / "g"), variant=variant, target=target, out=tmp_path / "engine")
    engine = str(tmp_path / "engine")
    executed = []
    for hint in ("f32", "bf16"):
        request = {**REQUEST, "engine": engine, "sentinel": engine, "precision_hint": hint, "protocol": encode(protocol)}
        executed.append(json.loads(run_device_program(OPENVINO.driver, "measure", request).stdout)["executed"])
    has_bf16 = bool({"avx512_bf16", "amx_bf16"} & set(target.isa_flags))
    assert "bf16" not in executed[0]
    assert (executed[1].get("bf16", 0) >= 3) is has_bf16
