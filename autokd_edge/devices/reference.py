"""The two fixed graphs that every reading leans on: the sentinel, and the null engine. Deterministic bytes.

The sentinel tells a change of the machine from a change of the engine: the same small convolutional
network is timed before and after each reading. The null engine is the smallest network
with a layer of each usual kind: its process's peak memory is what the runtime itself takes, its
convolution kernels included (measured: 8 MB more than with a lone ReLU), so that what an engine
takes over it is the engine's own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autokd_edge.errors import MeasureError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

_OPSET = 13  # the oldest that a target of ours reads
_IR_VERSION = 7  # of ONNX 1.8, which brought opset 13
# (out channels, stride) of each 3x3 convolution on a 1x28x28 image: 4 M MACs, about 0.05-0.1 ms on a desktop
# core: long beside the clock's step, short beside a reading.
_SENTINEL_LAYERS = ((16, 1), (32, 2), (32, 1), (64, 2))


def write_sentinel(path: Path) -> None:
    """Write the sentinel's ONNX graph."""
    from onnx import TensorProto, helper

    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    value, channels = "input", 1
    for index, (out_channels, stride) in enumerate(_SENTINEL_LAYERS):
        weights.append(_tensor(f"weight{index}", (out_channels, channels, 3, 3)))
        convolution = helper.make_node("Conv", [value, f"weight{index}"], [f"conv{index}"], strides=[stride, stride], pads=[1, 1, 1, 1])
        nodes += [convolution, helper.make_node("Relu", [f"conv{index}"], [f"relu{index}"])]
        value, channels = f"relu{index}", out_channels
    weights.append(_tensor("head", (channels, 10)))
    nodes += [
        helper.make_node("ReduceMean", [value], ["features"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["features", "head"], ["logits"]),
    ]
    shapes = {"input": (1, 1, 28, 28), "logits": (1, 10)}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    _write(path, helper.make_graph(nodes, "sentinel", [values["input"]], [values["logits"]], weights))


def write_null(path: Path) -> None:
    """Write the null engine's ONNX graph: one residual block of 8 channels and 4x4 pixels, mean, matrix product."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Conv", ["input", "stem"], ["conv0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv0"], ["relu0"]),
        helper.make_node("Conv", ["relu0", "weight"], ["conv1"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["relu0", "conv1"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["relu1"]),
        helper.make_node("ReduceMean", ["relu1"], ["features"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["features", "head"], ["logits"]),
    ]
    shapes = {"input": (1, 1, 4, 4), "logits": (1, 10)}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    weights = [_tensor("stem", (8, 1, 3, 3)), _tensor("weight", (8, 8, 3, 3)), _tensor("head", (8, 10))]
    _write(path, helper.make_graph(nodes, "null", [values["input"]], [values["logits"]], weights))


def built_once(engine: Path, write: Callable[[Path], None], build: Callable[[Path, Path], None]) -> Path:
    """Return a reference engine, made by ``write(graph)`` and ``build(graph, engine)`` where it is not there yet.

    Raises:
        MeasureError: it could not be written.
    """
    if engine.exists():
        return engine
    graph = engine.with_name(f"{engine.stem}-{os.getpid()}.onnx")
    made = graph.with_suffix(".blob")
    try:
        engine.parent.mkdir(parents=True, exist_ok=True)
        write(graph)
        build(graph, made)
        made.replace(engine)
    except OSError as error:
        raise MeasureError(f"the reference engine '{engine}' could not be written: {error.strerror}") from error
    finally:
        graph.unlink(missing_ok=True)
        made.unlink(missing_ok=True)
    return engine


def _write(path: Path, graph: onnx.GraphProto) -> None:
    from onnx import helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="autokd-edge")
    path.write_bytes(model.SerializeToString(deterministic=True))


def _tensor(name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(_weights(shape), name)


def _weights(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Spread numbers evenly over +-sqrt(6 / fan-in), by a hash of their position: the same on every machine and version."""
    import numpy as np

    position = np.arange(math.prod(shape), dtype=np.uint64)
    unit = (position * np.uint64(2654435761) % np.uint64(2**32)).astype(np.float64) / 2**32  # Knuth's multiplicative hash
    fan_in = math.prod(shape[1:]) if len(shape) > 2 else shape[0]
    return ((2 * unit - 1) * math.sqrt(6 / fan_in)).astype(np.float32).reshape(shape)
