"""Read which constants and quantisers a quantised graph has, and write it back with others in their places; ONNX and numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from autokd_edge.errors import TeachError

Array = npt.NDArray[Any]
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
LAYERS = ("Conv", "Gemm", "MatMul")
_LEARNT_BY = (*LAYERS, "Mul", "Add")  # whose constants are weights; those of other operations are their settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The integers of one quantising node, or of one constant; ``name`` is that of the initialiser that holds its steps."""

    name: str
    scale: Array  # () or (channels,)
    zero_point: Array
    low: int
    high: int
    axis: int | None

    @property
    def key(self) -> tuple[object, ...]:
        """What a quantiser gives the same to where it means them to stay the same: inputs of a concatenation, say."""
        return (self.scale.tobytes(), self.zero_point.tobytes(), self.low, self.high, self.axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A weight, a bias or a factor: the floats that it stands for, and the range of its integers where it has some."""

    values: Array
    range: Range | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """A bias of a layer: the quantising node before the layer and the weight, by name; None where that is in float.

    ``steps`` names the steps of its 32-bit integers, which are the product of the other two's; None for a bias in float.
    """

    input: str | None
    weight: str
    steps: str | None


class QDQGraph:
    """What of a quantised graph can be learnt.

    Attributes:
        activations: by the output of the quantising node.
        constants: by the name of the initialiser.
        biases: those of layers among the constants.
        dequantized: by the output of a dequantising node, the constant that it reads.
        fixed: all other constants.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Read a graph; raises TeachError where its quantisers are used in another way than in pairs."""
        self.model = model
        self._initializers = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._giver = {name: node for node in model.graph.node for name in node.output}
        self.activations = {node.output[0]: self._range(node) for node in model.graph.node if node.op_type == QUANTIZE}
        self.dequantized = {
            node.output[0]: node.input[0] for node in model.graph.node if node.op_type == DEQUANTIZE and node.input[0] in self._initializers
        }
        self._check_pairs()
        self.constants = {name: self._constant(name) for name in dict.fromkeys(self._learnt())}
        self.biases = dict(self._biases())
        strange = [name for name in self.constants if self._initializers[name].dtype == np.int32 and name not in self.biases]
        if strange:
            raise TeachError(f"an integer of 32 bits must be the bias of a layer; '{strange[0]}' is none")
        settings = {node.output[0]: _value(node) for node in model.graph.node if node.op_type == "Constant"}
        self.fixed: Mapping[str, Array] = settings | {n: a for n, a in self._initializers.items() if n not in self.constants}

    def written(self, changed: Mapping[str, Array]) -> onnx.ModelProto:
        """Return the graph with other values of these initialisers, their types and shapes kept."""
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        for tensor in made.graph.initializer:
            if tensor.name in changed:
                before = self._initializers[tensor.name]
                value = changed[tensor.name].reshape(before.shape).astype(before.dtype)
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        return made

    def _range(self, node: onnx.NodeProto) -> Range:
        found = [self._initializers.get(name) for name in node.input[1:3]]
        if any(array is None for array in found):
            raise TeachError(f"a quantiser must have its range among the constants of the graph; '{node.output[0]}' has not")
        scale, zero_point = cast("tuple[Array, Array]", found if len(found) == 2 else (*found, np.zeros_like(found[0], np.uint8)))
        info, axis = np.iinfo(zero_point.dtype), None
        if scale.size > 1:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        else:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        return Range(name=node.input[1], scale=scale, zero_point=zero_point, low=int(info.min), high=int(info.max), axis=axis)

    def _check_pairs(self) -> None:
        for node in self.model.graph.node:
            if node.op_type == DEQUANTIZE and node.output[0] not in self.dequantized:
                pair = self.activations.get(node.input[0])
                if pair is None or pair.key != self._range(node).key:
                    raise TeachError(f"a graph must quantise in pairs of one range; '{node.output[0]}' has none before it")

    def _learnt(self) -> Iterator[str]:
        for node in self.model.graph.node:
            for name in node.input if node.op_type in _LEARNT_BY else ():
                source = self.dequantized.get(name, name)
                if source in self._initializers:
                    yield source
        yield from self.dequantized.values()

    def _constant(self, name: str) -> Constant:
        integers = self._initializers[name]
        if integers.dtype.kind == "f":
            return Constant(values=integers, range=None)
        node = next(self._giver[output] for output, source in self.dequantized.items() if source == name)
        found = self._range(node)
        axis = None if found.axis is None else found.axis % integers.ndim
        shape = [-1 if dim == axis else 1 for dim in range(integers.ndim)] if axis is not None else ()
        steps = integers.astype(np.int64) - found.zero_point.astype(np.int64).reshape(shape)
        values = (steps * found.scale.reshape(shape)).astype(np.float32)
        if integers.dtype == np.int32:
            return Constant(values=values, range=None)
        # No integer beyond those that the quantiser used: it may have left a bit free so that no sum saturates.
        most, middle = int(np.abs(steps).max()) or found.high, int(found.zero_point.reshape(-1)[0])
        low, high = max(found.low, middle - most), min(found.high, middle + most)
        return Constant(
            values=values, range=Range(name=found.name, scale=found.scale, zero_point=found.zero_point, low=low, high=high, axis=axis)
        )

    def _biases(self) -> Iterator[tuple[str, Bias]]:
        for node in self.model.graph.node:
            if node.op_type not in LAYERS or len(node.input) < 3:
                continue
            bias = self.dequantized.get(node.input[2], node.input[2])
            pair = self._giver.get(node.input[0])
            source = pair.input[0] if pair is not None and pair.op_type == DEQUANTIZE else None
            if bias not in self.constants:
                continue
            integer = self._initializers[bias].dtype.kind == "i"
            if integer and (source is None or self.activations[source].axis is not None):
                raise TeachError(f"the integer bias '{bias}' must belong to a layer that reads one range")
            steps = self._giver[node.input[2]].input[1] if integer else None
            yield bias, Bias(input=source, weight=self.dequantized.get(node.input[1], node.input[1]), steps=steps)


def _value(node: onnx.NodeProto) -> Array:
    (attribute,) = node.attribute
    return numpy_helper.to_array(attribute.t) if attribute.HasField("t") else np.asarray(onnx.helper.get_attribute_value(attribute))
