"""Fold batch norm, dropout and merge scalars away: the graph that a device runs.

A batch norm becomes part of its convolution. A merge ``sum c_i x_i`` becomes plain additions: every
tensor may be stored with a positive factor, its gauge, because a convolution absorbs any gauge of
its input and output, and ReLU, pooling and rearranged channels pass one through. What bends elsewhere
than at 0 (ReLU6, hard swish, hard sigmoid) needs gauge 1 on both sides. The merge inputs are the edges
of a graph between gauges; on a spanning forest of it all coefficients can be made 1, and only an edge
that closes a cycle keeps a multiplication. Which edges those are depends on the topology alone, so
an untrained student runs exactly the operations of the taught one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autokd_edge.core.student import (
    INPUT,
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Layer,
    Linear,
    MaxPool,
    Mean,
    Pooling,
    Rearrangement,
    Relu,
    Relu6,
    Scale,
    Shape,
    StudentSpec,
    WeightedSum,
    parameter_shapes,
)
from autokd_edge.errors import LoweringError

Arrays = Mapping[str, npt.NDArray[np.float32]]
Float64 = npt.NDArray[np.float64]
NORM_EPS = 1e-5  # torch's default, used while teaching
BIAS_SPREAD = 0.5  # of untrained batch norms
UNIT_TOLERANCE = 1e-12  # rounding of a product of ones in float64
_PASSES = (Relu, MaxPool, AvgPool, GlobalAvgPool, ChannelSlice, ChannelShuffle, Concat)  # all inputs and the output share a gauge
_PINNED = (Relu6, HardSigmoid, HardSwish)  # input and output have gauge 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """A convolution or linear layer with everything folded into it."""

    name: str
    source: str
    op: Conv2d | Linear
    weight: Float64
    bias: Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A layer that the device runs as it is: an activation, a pooling, a rearrangement, a scaling."""

    name: str
    sources: tuple[str, ...]
    op: Activation | Pooling | Rearrangement | Scale
    shape: Shape  # of the output


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Sum of tensors; ``factors`` holds None where the factor is 1 by construction."""

    name: str
    sources: tuple[str, ...]
    factors: tuple[float | None, ...]


Step = Affine | Plain | Sum


def folded(spec: StudentSpec, arrays: Arrays) -> tuple[Step, ...]:
    """Fold a network for the device.

    Args:
        spec: the network; its last layer gives the logits.
        arrays: weights by the names and shapes of ``core.student.parameter_shapes``.

    Raises:
        LoweringError: a batch norm does not follow a convolution of its own, or arrays do not fit.
    """
    if {name: value.shape for name, value in arrays.items()} != parameter_shapes(spec):
        raise LoweringError(f"weights must be the {len(parameter_shapes(spec))} arrays of the spec; names or shapes differ")
    alias = _aliases(spec)
    gauges, kept = _gauges(spec, alias, _coefficients(spec, arrays))
    norms = {layer.inputs[0]: layer.name for layer in spec.layers if isinstance(layer.op, BatchNorm)}
    steps: list[Step] = []
    for layer in spec.layers:
        sources = tuple(alias[name] for name in layer.inputs)
        match layer.op:
            case Conv2d() | Linear():
                weight, bias = _affine(layer, arrays, norms.get(layer.name))
                out, into = gauges[layer.name], gauges[sources[0]]
                steps.append(Affine(name=layer.name, source=sources[0], op=layer.op, weight=weight * (out / into), bias=bias * out))
            case Add() | Mean() | WeightedSum():
                factors = tuple(kept.get((layer.name, i)) for i in range(len(sources)))
                steps.append(Sum(name=layer.name, sources=sources, factors=factors))
            case BatchNorm() | Dropout():
                pass
            case op:
                steps.append(Plain(name=layer.name, sources=sources, op=op, shape=spec.shapes[layer.name]))
    return tuple(steps)


def kept_factors(spec: StudentSpec) -> int:
    """Count the merge scalars that no convolution can absorb; weights in general position have the same."""
    _, kept = _gauges(spec, _aliases(spec), _coefficients(spec, initial_arrays(spec, merges_only=True)))
    return len(kept)


def initial_arrays(spec: StudentSpec, *, merges_only: bool = False) -> dict[str, npt.NDArray[np.float32]]:
    """Draw random weights from ``spec.seed`` whose activations stay near 1 however deep the graph.

    Batch norms get (at least) the variance that reaches them, as after teaching, and a bias: without
    them the merges of a random graph multiply up to infinity, or shrink to denormal numbers, which
    would be timed wrongly.
    """
    rng = np.random.default_rng(spec.seed)
    shapes = parameter_shapes(spec)
    variance = {INPUT: 1.0}
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    for layer in spec.layers:
        incoming = [variance[name] for name in layer.inputs]
        variance[layer.name] = incoming[0]
        match layer.op:
            case Conv2d() | Linear() if not merges_only:
                shape = shapes[f"{layer.name}.weight"]
                arrays[f"{layer.name}.weight"] = (rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))).astype(np.float32)
                if f"{layer.name}.bias" in shapes:
                    arrays[f"{layer.name}.bias"] = np.zeros(shape[0], np.float32)
            case BatchNorm() if not merges_only:
                shape = shapes[f"{layer.name}.weight"]
                for part, value in (("weight", 1.0), ("running_mean", 0.0), ("running_var", incoming[0])):
                    arrays[f"{layer.name}.{part}"] = np.full(shape, value, np.float32)
                arrays[f"{layer.name}.bias"] = (BIAS_SPREAD * rng.standard_normal(shape)).astype(np.float32)
                variance[layer.name] = 1 + BIAS_SPREAD**2
            case WeightedSum():
                scalars = rng.uniform(0.5, 1.5, len(incoming)).astype(np.float32)
                arrays[f"{layer.name}.weight"] = scalars
                variance[layer.name] = float(np.dot(1 / (1 + np.exp(-scalars)) ** 2, incoming))
            case Add():
                variance[layer.name] = sum(incoming)
            case Mean():
                variance[layer.name] = sum(incoming) / len(incoming) ** 2
            case Concat():
                variance[layer.name] = max(incoming)
            case _:
                pass
    return arrays


def _aliases(spec: StudentSpec) -> dict[str, str]:
    """Map each name to the layer that computes it on the device: batch norms and dropouts vanish."""
    readers: dict[str, int] = {}
    for layer in spec.layers:
        for name in layer.inputs:
            readers[name] = readers.get(name, 0) + 1
    convolutions = {layer.name for layer in spec.layers if isinstance(layer.op, Conv2d)}
    alias = {INPUT: INPUT}
    for layer in spec.layers:
        source = layer.inputs[0]
        if isinstance(layer.op, BatchNorm) and (source not in convolutions or readers[source] != 1):
            raise LoweringError(f"batch norm '{layer.name}' must follow a convolution that nothing else reads; it follows '{source}'")
        alias[layer.name] = alias[source] if isinstance(layer.op, BatchNorm | Dropout) else layer.name
    return alias


def _affine(layer: Layer, arrays: Arrays, norm: str | None) -> tuple[Float64, Float64]:
    """Return weight and bias in float64 with the batch norm folded in."""
    weight = arrays[f"{layer.name}.weight"].astype(np.float64)
    bias = arrays.get(f"{layer.name}.bias", np.zeros(len(weight), np.float32)).astype(np.float64)
    if norm is None:
        return weight, bias
    gain, shift, mean, variance = (
        arrays[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + NORM_EPS)
    return weight * scale[:, None, None, None], (bias - mean) * scale + shift


def _coefficients(spec: StudentSpec, arrays: Arrays) -> dict[str, Float64]:
    """Return the coefficients of every merge."""
    found: dict[str, Float64] = {}
    for layer in spec.layers:
        match layer.op:
            case WeightedSum():
                found[layer.name] = 1 / (1 + np.exp(-arrays[f"{layer.name}.weight"].astype(np.float64)))
            case Mean():
                found[layer.name] = np.full(len(layer.inputs), 1 / len(layer.inputs))
            case Add():
                found[layer.name] = np.ones(len(layer.inputs))
            case _:
                pass
    return found


def _gauges(
    spec: StudentSpec, alias: Mapping[str, str], coefficients: Mapping[str, Float64]
) -> tuple[dict[str, float], dict[tuple[str, int], float]]:
    """Solve the gauge of every tensor and the factors that stay, by (merge, input number)."""
    ties, closing = _forest(spec, alias)
    ratios: dict[str, list[tuple[str, float]]] = {name: [] for name in alias}
    for reader, source, number in ties:
        log_ratio = 0.0 if number is None else float(np.log(coefficients[reader][number]))
        ratios[reader].append((source, log_ratio))  # gauge(source) = gauge(reader) * c, so that the factor is 1
        ratios[source].append((reader, -log_ratio))
    logs: dict[str, float] = {}
    for start in (INPUT, *alias.values()):  # the image keeps gauge 1, and what is tied to it
        stack = [(start, 0.0)]
        while stack:
            name, value = stack.pop()
            if name not in logs:
                logs[name] = value
                stack.extend((other, value + ratio) for other, ratio in ratios[name])
    kept = {
        (reader, number): float(np.exp(logs[reader] - logs[source]) * coefficients[reader][number]) for reader, source, number in closing
    }
    return {name: float(np.exp(value)) for name, value in logs.items()}, {k: f for k, f in kept.items() if abs(f - 1) > UNIT_TOLERANCE}


def _forest(spec: StudentSpec, alias: Mapping[str, str]) -> tuple[list[tuple[str, str, int | None]], list[tuple[str, str, int]]]:
    """Split the ties between gauges into a spanning forest and the merge inputs that close a cycle."""
    parent = {name: name for name in alias}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    ties: list[tuple[str, str, int | None]] = []
    closing: list[tuple[str, str, int]] = []

    for one, other in _equal_gauges(spec, alias):
        ties.append((one, other, None))
        parent[root(one)] = root(other)
    for layer in spec.layers:
        if isinstance(layer.op, Add | Mean | WeightedSum):
            for number, name in enumerate(layer.inputs):
                source = alias[name]
                if root(layer.name) == root(source):
                    closing.append((layer.name, source, number))
                else:
                    ties.append((layer.name, source, number))
                    parent[root(layer.name)] = root(source)
    return ties, closing


def _equal_gauges(spec: StudentSpec, alias: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of tensors that must have one gauge; the image's is 1."""
    yield alias[spec.output], INPUT  # logits are what they are
    for layer in spec.layers:
        sources = [alias[name] for name in layer.inputs]
        if isinstance(layer.op, _PASSES):
            yield from ((layer.name, source) for source in sources)
        elif isinstance(layer.op, Scale):
            yield from ((layer.name, sources[0]), (sources[1], INPUT))
        elif isinstance(layer.op, _PINNED):
            yield from ((layer.name, INPUT), (sources[0], INPUT))
