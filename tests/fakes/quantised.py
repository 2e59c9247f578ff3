"""Students and their quantised graphs, by the settings of each backend's own quantiser, in this process where that is quick."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import autokd_edge
from autokd_edge.core.student import (
    INPUT,
    Add,
    AvgPool,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool,
    Relu,
    Relu6,
    Scale,
    StudentSpec,
    WeightedSum,
)
from autokd_edge.students.graph import GraphWriter
from autokd_edge.students.lower_onnx import onnx_from_spec

PACKAGE = Path(autokd_edge.__file__).parent
IMAGE = (1, 8, 8)
# Signed and unsigned activations, biases as integers and in float, with and without zero points.
SETTINGS = {
    "onnxruntime": ("onnxruntime", {"int8_saturates": False}),
    "onnxruntime, 7 bits": ("onnxruntime", {"int8_saturates": True}),
    "tvm": ("tvm", {"isa_flags": []}),
    "tvm, signed": ("tvm", {"isa_flags": ["asimddp"]}),
    "tensorrt": ("tensorrt", {}),
}


def every_operation(*, classes: int = 3) -> StudentSpec:
    """Write a small network with every operation that students have."""
    graph = GraphWriter(IMAGE)
    x = graph.put(Relu(), graph.conv_norm(INPUT, 8))
    y = graph.put(HardSwish(), graph.conv_norm(x, 8, depthwise=True))
    gate = graph.put(HardSigmoid(), graph.put(Linear(out_features=8), graph.put(GlobalAvgPool(), y)))
    z = graph.put(Relu6(), graph.conv_norm(graph.put(Scale(), y, gate), 8, 1))
    merged = graph.put(WeightedSum(), x, graph.put(Add(), y, z))
    halves = [graph.put(ChannelSlice(start=4 * i, stop=4 * i + 4), merged) for i in range(2)]
    shuffled = graph.put(ChannelShuffle(groups=2), graph.put(Concat(), graph.conv_norm(halves[0], 4), halves[1]))
    pooled = graph.put(AvgPool(kernel=2, stride=2), graph.put(MaxPool(kernel=3, stride=1), shuffled))
    last = graph.put(Conv2d(out_channels=8, kernel=1, bias=True), pooled)
    graph.put(Linear(out_features=classes), graph.put(GlobalAvgPool(), last))
    return graph.spec(seed=3)


def noise(count: int = 24, *, image: tuple[int, int, int] = IMAGE) -> np.ndarray:
    """Draw images."""
    return np.random.default_rng(2).standard_normal((count, *image), dtype=np.float32)


def quantised_as(setting: str, model: onnx.ModelProto, samples: np.ndarray, keep: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Quantise a float graph, whose nodes are named by what they give, as one of ``SETTINGS``."""
    backend, request = SETTINGS[setting]
    driver = runpy.run_path(str(PACKAGE / "backends" / backend / "quantize_driver.py"))["quantized"]
    given = onnx.ModelProto()
    given.CopyFrom(model)
    return driver(given, INPUT, samples, {"keep": list(keep), **request})


def quantised_by_nncf(folder: Path, spec: StudentSpec, samples: np.ndarray, *, saturates: bool = False) -> onnx.ModelProto:
    """Quantise as for OpenVINO, in a process of its own: NNCF hides torch from the one that it runs in."""
    (folder / "graph.onnx").write_bytes(onnx_from_spec(spec).SerializeToString())
    np.save(folder / "samples.npy", samples)
    names = {"graph": "graph.onnx", "samples": "samples.npy", "out": "made.onnx"}
    request = {name: str(folder / file) for name, file in names.items()}
    request |= {"backend": "openvino", "int8_saturates": saturates, "isa_flags": [], "keep": []}
    programs = PACKAGE / "devices" / "quantize_program.py", PACKAGE / "backends" / "openvino" / "quantize_driver.py"
    subprocess.run([sys.executable, "-P", *programs], input=json.dumps(request).encode(), check=True, capture_output=True)
    return onnx.load(folder / "made.onnx")


def logits_as_written(model: onnx.ModelProto, samples: np.ndarray) -> np.ndarray:
    """Run a graph in ONNX Runtime, every node of it as it is written."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {INPUT: sample[None]})[0] for sample in samples])


def spoiled(model: onnx.ModelProto, times: float) -> onnx.ModelProto:
    """Make the first channel of each convolution but the last larger, and what the next one reads of it smaller."""
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    arrays = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    for node, reader in pairwise(layers):
        arrays[node.input[1]][0] *= times
        arrays[node.input[2]][0] *= times
        arrays[reader.input[1]][:, 0] /= times
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    return model
