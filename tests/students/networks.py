"""Networks with weights as after teaching, and the same network run by torch and by ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import torch

from autokd_edge.conformance.networks import IMAGE, arrays_of, chain, graph, nago_members, nago_point, trained_like
from autokd_edge.core.student import StudentSpec
from autokd_edge.students.families.mcunet import mcunet_like
from autokd_edge.students.families.mobilenet import mobilenet_v2_half, mobilenet_v2_quarter, mobilenet_v3_small_half
from autokd_edge.students.families.resnet import resnet8
from autokd_edge.students.families.shufflenet import shufflenet_v2_half
from autokd_edge.students.lower_onnx import onnx_from_spec

DESIGNED = (resnet8, mobilenet_v2_quarter, mobilenet_v2_half, mobilenet_v3_small_half, shufflenet_v2_half, mcunet_like)
__all__ = [
    "DESIGNED",
    "IMAGE",
    "arrays_of",
    "chain",
    "graph",
    "largest_difference",
    "nago_members",
    "nago_point",
    "run_onnx",
    "trained_like",
]


def run_onnx(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Run a model exactly as it is written: no optimisation of the graph."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"input": image[None]})[0] for image in images])


def largest_difference(spec: StudentSpec, *, seed: int = 0, images: int = 3) -> tuple[float, float]:
    """Return the largest difference of logits between the lowerings, and the largest logit."""
    network = trained_like(spec, seed=seed)
    samples = np.random.default_rng(seed).standard_normal((images, *spec.input), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(samples)).numpy()
    model = onnx_from_spec(spec, arrays_of(network))
    onnx.checker.check_model(model, full_check=True)
    return float(np.abs(run_onnx(model, samples) - expected).max()), float(np.abs(expected).max())
