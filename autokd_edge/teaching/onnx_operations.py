"""The ONNX operations of classifiers as functions of torch tensors, with gradients; batches of any size.

Graphs for devices have batch 1 written into their shapes: a reshape keeps the batch that it is given instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import onnx
import torch
from torch import Tensor
from torch.nn import functional

Attributes: TypeAlias = Mapping[str, Any]
Operation: TypeAlias = Callable[[Sequence[Tensor], Attributes], Tensor]


def attributes_of(node: onnx.NodeProto) -> Attributes:
    """Return a node's attributes by name."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def unknown(nodes: Sequence[onnx.NodeProto], also: frozenset[str]) -> tuple[str, ...]:
    """Name the operations that are not known here, each once, an attribute with them where that is what is not; ``also`` are known."""
    found: dict[str, None] = {}
    for node in nodes:
        if node.op_type not in OPERATIONS and node.op_type not in also:
            found[node.op_type] = None
        if len([name for name in node.input if name]) < _INPUTS.get(node.op_type, 0):
            found[f"{node.op_type} with fewer than {_INPUTS[node.op_type]} inputs"] = None
        for name, value in attributes_of(node).items():
            accepted = _ACCEPTED.get((node.op_type, name))
            if accepted is not None and not accepted(value):
                found[f"{node.op_type} with {name} {value.decode() if isinstance(value, bytes) else value}"] = None
    return tuple(found)


def _convolved(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    images, weight, *bias = inputs
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if (top, left) != (bottom, right):
        images, top, left = functional.pad(images, (left, right, top, bottom)), 0, 0
    return functional.conv2d(
        images,
        weight,
        bias[0] if bias else None,
        stride=tuple(attributes.get("strides", (1, 1))),
        padding=(top, left),
        dilation=tuple(attributes.get("dilations", (1, 1))),
        groups=attributes.get("group", 1),
    )


def _product(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    features, weight, *bias = inputs
    return functional.linear(features, weight if attributes.get("transB", 0) else weight.T, bias[0] if bias else None)


def _clipped(inputs: Sequence[Tensor], _attributes: Attributes) -> Tensor:
    values, low, high = inputs
    return values.clamp(float(low), float(high))


def _hard_sigmoid(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    slope, middle = float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5))
    return (inputs[0] * slope + middle).clamp(0, 1)


def _reshaped(inputs: Sequence[Tensor], _attributes: Attributes) -> Tensor:
    values, shape = inputs
    return values.reshape(values.shape[0], *map(int, shape[1:]))


def _sliced(inputs: Sequence[Tensor], _attributes: Attributes) -> Tensor:
    values, starts, ends, axes, *steps = inputs
    for number, (start, end, axis) in enumerate(zip(starts.tolist(), ends.tolist(), axes.tolist(), strict=True)):
        step = int(steps[0][number]) if steps else 1
        values = values[tuple(slice(start, end, step) if dim == axis % values.dim() else slice(None) for dim in range(values.dim()))]
    return values


def _largest(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    return functional.max_pool2d(
        inputs[0],
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1, 1))),
        tuple(attributes.get("pads", (0, 0))[:2]),
    )


def _averaged(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    return functional.avg_pool2d(inputs[0], tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", (1, 1))))


def _is_default(value: object) -> bool:
    return value in {b"NOTSET", 0}


def _is_symmetric(pads: list[int]) -> bool:
    return pads[:2] == pads[2:]


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "Conv": _convolved,
        "Gemm": _product,
        "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
        "Add": lambda inputs, _: inputs[0] + inputs[1],
        "Mul": lambda inputs, _: inputs[0] * inputs[1],
        "Relu": lambda inputs, _: inputs[0].relu(),
        "Clip": _clipped,
        "HardSigmoid": _hard_sigmoid,
        "MaxPool": _largest,
        "AveragePool": _averaged,
        "GlobalAveragePool": lambda inputs, _: inputs[0].mean(dim=(2, 3), keepdim=True),
        "Flatten": lambda inputs, _: inputs[0].flatten(1),
        "Reshape": _reshaped,
        "Transpose": lambda inputs, attributes: inputs[0].permute(*attributes.get("perm", reversed(range(inputs[0].dim())))),
        "Concat": lambda inputs, attributes: torch.cat(list(inputs), dim=attributes["axis"]),
        "Slice": _sliced,
        "Identity": lambda inputs, _: inputs[0],
    }
)
_INPUTS: Mapping[str, int] = MappingProxyType({"Clip": 3, "Slice": 4})  # ONNX takes fewer too: a bound, the axes
# Of these attributes only the values for which this holds.
_ACCEPTED: Mapping[tuple[str, str], Callable[[Any], bool]] = MappingProxyType(
    {
        ("Conv", "auto_pad"): _is_default,
        ("Gemm", "transA"): _is_default,
        ("Gemm", "alpha"): lambda value: value == 1,
        ("Gemm", "beta"): lambda value: value == 1,
        ("Flatten", "axis"): lambda value: value == 1,
        ("MaxPool", "auto_pad"): _is_default,
        ("MaxPool", "ceil_mode"): _is_default,
        ("MaxPool", "dilations"): lambda value: set(value) == {1},
        ("MaxPool", "pads"): _is_symmetric,
        ("AveragePool", "auto_pad"): _is_default,
        ("AveragePool", "ceil_mode"): _is_default,
        ("AveragePool", "pads"): lambda value: not any(value),
        ("Reshape", "allowzero"): _is_default,
    }
)
