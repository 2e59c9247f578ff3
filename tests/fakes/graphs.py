"""Small ONNX networks and samples, and the same networks run by another runtime."""

import numpy as np

from autokd_edge.conformance.graphs import CLASSES, IMAGE, write_graph, write_samples

__all__ = ["CLASSES", "IMAGE", "logits_by_onnxruntime", "write_graph", "write_samples"]


def logits_by_onnxruntime(graph: bytes, samples: np.ndarray) -> np.ndarray:
    """Run a graph with another runtime than the one under test."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": sample[None]})[0] for sample in samples])
