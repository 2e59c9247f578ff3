"""Networks with weights as after teaching, and the same network run by torch and by ONNX Runtime."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from autokd_edge.core.space import Point, Value
from autokd_edge.core.student import INPUT, Layer, Op, StudentSpec, Task
from autokd_edge.students.families.mcunet import mcunet_like
from autokd_edge.students.families.mobilenet import mobilenet_v2_half, mobilenet_v2_quarter, mobilenet_v3_small_half
from autokd_edge.students.families.nago import NagoFamily
from autokd_edge.students.families.resnet import resnet8
from autokd_edge.students.families.shufflenet import shufflenet_v2_half
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.students.lower_torch import SpecNetwork, torch_from_spec

IMAGE = (3, 9, 11)
DESIGNED = (resnet8, mobilenet_v2_quarter, mobilenet_v2_half, mobilenet_v3_small_half, shufflenet_v2_half, mcunet_like)


def chain(*ops: Op, image: tuple[int, int, int] = IMAGE, seed: int = 5) -> StudentSpec:
    """Write layers one after the other, named a, b, c, ..."""
    names = [INPUT, *(chr(ord("a") + i) for i in range(len(ops)))]
    layers = tuple(Layer(name=names[i + 1], op=op, inputs=(names[i],)) for i, op in enumerate(ops))
    return StudentSpec(input=image, layers=layers, seed=seed)


def graph(*layers: tuple[str, Op, Sequence[str]], image: tuple[int, int, int] = IMAGE, seed: int = 5) -> StudentSpec:
    """Write named layers."""
    return StudentSpec(input=image, layers=tuple(Layer(name=n, op=op, inputs=tuple(i)) for n, op, i in layers), seed=seed)


def nago_point(task: Task, **others: Value) -> Point:
    """Make the smallest architecture of NAGO; ``others`` replace its parameters."""
    space = NagoFamily().space(task)
    values = {parameter.name: parameter.at(0.0) for parameter in space.parameters}
    return space.point({**values, **others})


def nago_members(task: Task, *, op: str, count: int, seed: int) -> Iterator[StudentSpec]:
    """Draw members of random families of NAGO, not too large."""
    family, rng = NagoFamily(), np.random.default_rng(seed)
    space = family.space(task)
    for index in range(count):
        unit = rng.random(len(space)) * [0.5, 1, 1, 0.5, 1, 0.7, 1, 1, 0.3, 1]
        drawn = {**dict(space.at(unit)), "op": op}
        yield family.spec(nago_point(task, **drawn), task, index)


def trained_like(spec: StudentSpec, *, seed: int) -> SpecNetwork:
    """Build the torch module with random merges, gains and shifts, and batch statistics near those of random images."""
    rng = torch.Generator().manual_seed(seed)
    network = torch_from_spec(spec)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith(".bias"):
                value.normal_(0, 0.3, generator=rng)
            elif value.ndim == 1:
                value.uniform_(-1, 2, generator=rng)  # a merge's scalars; gains are drawn below
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=rng)
            norm.momentum = 1.0  # the statistics of this one batch
        network.train()(torch.randn(8, *spec.input, generator=rng))
        for norm in norms:
            norm.running_mean += 0.2 * torch.randn(norm.running_mean.shape, generator=rng)
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4, generator=rng)
            norm.running_var.clamp_(min=0.01)  # a channel that is dead on eight images would explode
    return network.eval()


def arrays_of(network: SpecNetwork) -> dict[str, np.ndarray]:
    """Return the weights as the ONNX lowering takes them."""
    return {name: value.numpy() for name, value in network.arrays().items()}


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
