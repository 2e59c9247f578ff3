"""Small ONNX networks and samples that the suites build, quantise and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

IMAGE = (1, 12, 12)
CLASSES = 5


def write_graph(path: Path, *, channels: int = 8, seed: int = 0, scale: float = 1.0) -> Path:
    """Write a residual network of three convolutions; ``scale`` multiplies its last weights."""
    rng = np.random.default_rng(seed)
    weights = {
        "stem": rng.normal(0, 0.5, (channels, 1, 3, 3)),
        "first": rng.normal(0, 0.2, (channels, channels, 3, 3)),
        "second": rng.normal(0, 0.2, (channels, channels, 3, 3)),
        "head": rng.normal(0, scale, (channels, CLASSES)),
    }
    nodes = [
        helper.make_node("Conv", ["input", "stem"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "first"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "second"], ["e"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "e"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("ReduceMean", ["g"], ["h"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["h", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, *IMAGE))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, CLASSES))],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def write_samples(path: Path, count: int = 16, *, seed: int = 0, shape: tuple[int, ...] = IMAGE) -> Path:
    """Write float32 samples ``(n, c, h, w)``."""
    np.save(path, np.random.default_rng(seed).standard_normal((count, *shape), dtype=np.float32))
    return path


def logits_by_reference(graph: bytes, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Run a graph by ONNX's own reference implementation, in numpy: logits ``(n, classes)``."""
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(onnx.load_from_string(graph))
    logits: npt.NDArray[np.float32] = np.concatenate([evaluator.run(None, {"input": sample[None]})[0] for sample in samples])
    return logits
