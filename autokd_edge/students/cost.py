"""Exact costs of a network from its spec alone: parameters, MACs, live activations."""

from __future__ import annotations

import math

from autokd_edge.core.pupil import Cost
from autokd_edge.core.student import (
    INPUT,
    BatchNorm,
    Conv2d,
    Dropout,
    HardSigmoid,
    HardSwish,
    Linear,
    Relu,
    Relu6,
    Scale,
    StudentSpec,
    parameter_shapes,
)
from autokd_edge.students.folding import kept_factors

FLOAT_BYTES = 4
_IN_PLACE = (Relu, Relu6, HardSigmoid, HardSwish, Scale, BatchNorm, Dropout)  # may write over their first input


def cost_of(spec: StudentSpec) -> Cost:
    """Count what the device holds and does: batch norm and merges folded, float32, batch 1."""
    return Cost(parameters=deployed_parameters(spec), macs=macs(spec), activation_bytes=activation_bytes(spec))


def deployed_parameters(spec: StudentSpec) -> int:
    """Count weights, biases and the merge scalars that stay, as in the ONNX graph's initialisers."""
    total = kept_factors(spec)
    for name, shape in parameter_shapes(spec).items():
        if name.endswith(".weight") and len(shape) > 1:
            total += math.prod(shape) + shape[0]  # every convolution and linear layer has a bias once folded
    return total


def trainable_parameters(spec: StudentSpec) -> int:
    """Count what the optimiser moves, as ``sum(p.numel() for p in network.parameters())`` in torch."""
    return sum(math.prod(shape) for name, shape in parameter_shapes(spec).items() if not name.endswith(("running_mean", "running_var")))


def macs(spec: StudentSpec) -> int:
    """Count the multiply-accumulates of convolutions and linear layers for one image."""
    total = 0
    for layer in spec.layers:
        match layer.op:
            case Conv2d() as conv:
                per_output = spec.in_channels(layer) // conv.groups * conv.kernel**2
                total += math.prod(spec.shapes[layer.name]) * per_output
            case Linear() as linear:
                total += spec.in_channels(layer) * linear.out_features
            case _:
                pass
    return total


def activation_bytes(spec: StudentSpec) -> int:
    """Return the largest sum of live activations in bytes; what works element by element does so in place if it can.

    A lower bound of what a runtime needs without recomputing or splitting a tensor, where slices, shuffles
    and concatenations are written out.
    """
    last_reader = {name: i for i, layer in enumerate(spec.layers) for name in layer.inputs}
    live = {INPUT: math.prod(spec.input)}
    peak = live[INPUT]
    for i, layer in enumerate(spec.layers):
        dead = {name for name in layer.inputs if last_reader[name] == i}
        in_place = isinstance(layer.op, _IN_PLACE) and layer.inputs[0] in dead
        live[layer.name] = math.prod(spec.shapes[layer.name])
        peak = max(peak, sum(live.values()) - (live[layer.name] if in_place else 0))
        for name in dead:
            del live[name]
    return FLOAT_BYTES * peak
