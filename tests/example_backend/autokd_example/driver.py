"""The part of the device program that knows the runtime: standard library, numpy, onnx and onnxruntime only."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import onnxruntime


class Engine:
    """A session with buffers of its own."""

    def __init__(self, path: str, threads: int) -> None:
        self._path = path
        self._session = _session(path, threads)
        (image,), (logits,) = self._session.get_inputs(), self._session.get_outputs()
        self._name = image.name
        self.image = np.zeros(image.shape, np.float32)
        self.logits = np.zeros(logits.shape, np.float32)

    def run(self) -> None:
        """Infer once, from ``image`` to ``logits``."""
        self.logits[...] = self._session.run(None, {self._name: self.image})[0]

    def executed(self) -> dict[str, int]:
        """Count the nodes of the graph: this provider runs a float graph in float."""
        import onnx

        return {"f32": len(onnx.load(self._path).graph.node)}


def build(request: dict) -> dict:
    """Let the runtime read the graph, and keep it."""
    _session(request["graph"], request["threads"])
    Path(request["out"]).write_bytes(Path(request["graph"]).read_bytes())
    return {}


def load(request: dict, engine: str) -> Engine:
    """Load an engine."""
    return Engine(engine, request["threads"])


def toolchain() -> dict[str, str]:
    """Return the runtime's version."""
    return {"onnxruntime": importlib.metadata.version("onnxruntime")}


def _session(path: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
