"""Run a backend's own quantised graph in torch, its weights and ranges as parameters, and write it back with what was learnt.

The nodes of the graph stay as they are, and with them which layers are quantised, to which integers, with or without a zero
point, for each channel or not: that is the quantiser's choice for its runtime. Only constants change.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from autokd_edge.errors import TeachError
from autokd_edge.teaching.fake_quantizers import StepWidths
from autokd_edge.teaching.onnx_operations import OPERATIONS, attributes_of, unknown
from autokd_edge.teaching.qdq_graph import DEQUANTIZE, QUANTIZE, Array, QDQGraph, Range

LEVELS = 127  # steps from 0 to the end of a range
_PAIRS = frozenset({QUANTIZE, DEQUANTIZE, "Constant"})


class QDQNetwork(nn.Module):
    """A quantised graph: images ``(n, c, h, w)`` to logits ``(n, classes)``, as the integers of the graph give them.

    What is learnt is learnt in units of its own steps, so that one rate serves networks of any magnitude.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Read a graph.

        Raises:
            TeachError: an operation cannot be taught here, or nothing is quantised.
        """
        super().__init__()
        refuse_unknown(model)
        self._graph = QDQGraph(model)
        if not self._graph.activations:
            raise TeachError("a graph must have quantisers to be tuned; this one has none")
        self._input, self._output = model.graph.input[0].name, model.graph.output[0].name
        self._plan = [(node, attributes_of(node)) for node in model.graph.node if node.op_type != "Constant"]
        self._fixed = {name: torch.from_numpy(np.array(array)) for name, array in self._graph.fixed.items()}
        self.steps = nn.ModuleList()
        self._steps_of: dict[str, int] = {}  # of what quantises, and of constants that are integers
        self._share_steps()
        self._names = list(self._graph.constants)
        self.constants = nn.ModuleList(_Learnt(constant.values, self._unit(name)) for name, constant in self._graph.constants.items())

    def forward(self, images: Tensor) -> Tensor:
        """Run the graph."""
        values = {self._input: images} | {name: learnt() for name, learnt in zip(self._names, self.constants, strict=True)}
        for node, attributes in self._plan:
            if node.op_type in _PAIRS:
                steps = self._steps_of.get(node.output[0])  # a dequantised activation was rounded by what quantised it
                values[node.output[0]] = values[node.input[0]] if steps is None else self.steps[steps](values[node.input[0]])
            else:
                inputs = [values[name] if name in values else self._fixed[name] for name in node.input if name]
                values[node.output[0]] = OPERATIONS[node.op_type](inputs, attributes)
        logits: Tensor = values[self._output]
        return logits

    def ranges(self) -> list[nn.Parameter]:
        """Return the parameters of the ranges; all others are of constants."""
        return [parameter for steps in self.steps for parameter in steps.parameters()]

    @torch.no_grad()
    def written(self) -> onnx.ModelProto:
        """Return the graph with the constants and ranges as they are now."""
        graph, values = self._graph, {name: learnt() for name, learnt in zip(self._names, self.constants, strict=True)}
        changed: dict[str, Array] = {found.name: self._scale(output).numpy() for output, found in graph.activations.items()}
        for name, constant in graph.constants.items():
            if constant.range is not None:
                changed[constant.range.name] = self._scale(name).numpy()
                changed[name] = self._of(name).integers(values[name]).numpy()
            else:
                changed[name] = values[name].numpy()
        for name, bias in graph.biases.items():
            if bias.steps is not None and bias.input is not None:
                steps = self._scale(bias.input) * self._scale(bias.weight)
                changed[bias.steps] = steps.numpy()
                changed[name] = (values[name] / steps).round().numpy()
        return graph.written(changed)

    def _share_steps(self) -> None:
        """Give each range its steps: one and the same to those that the quantiser gave the same."""
        known: dict[tuple[object, ...], int] = {}
        for output, found in self._graph.activations.items():
            if found.key not in known:
                known[found.key] = len(self.steps)
                self.steps.append(_steps(found))
            self._steps_of[output] = known[found.key]
        for output, name in self._graph.dequantized.items():
            constant = self._graph.constants.get(name)
            if constant is None or constant.range is None:
                continue
            if name not in self._steps_of:
                self._steps_of[name] = len(self.steps)
                self.steps.append(_steps(constant.range))
            self._steps_of[output] = self._steps_of[name]

    def _of(self, name: str) -> StepWidths:
        found = self.steps[self._steps_of[name]]
        assert isinstance(found, StepWidths), "nothing else is put there"  # noqa: S101
        return found

    def _scale(self, name: str) -> Tensor:
        return self._of(name).scale

    @torch.no_grad()
    def _unit(self, name: str) -> Tensor:
        """Return what a constant is learnt in units of: its steps; for a bias what a step of the weight changes at most."""
        constant, bias = self._graph.constants[name], self._graph.biases.get(name)
        if constant.range is not None:
            axis, scale = constant.range.axis, self._scale(name)
            return scale if axis is None else scale.view([-1 if dim == axis else 1 for dim in range(constant.values.ndim)])
        if bias is not None and bias.input is not None and bias.weight in self._steps_of:
            return LEVELS * self._scale(bias.input).mean() * self._scale(bias.weight)
        return torch.tensor(float(np.abs(constant.values).max()) or 1.0) / LEVELS


class _Learnt(nn.Module):
    """A constant and how far it has moved, in units of its own."""

    start: Tensor
    unit: Tensor

    def __init__(self, values: Array, unit: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", torch.from_numpy(values.astype(np.float32)))
        self.register_buffer("unit", unit.clone())
        self.moved = nn.Parameter(torch.zeros_like(self.start))

    def forward(self) -> Tensor:
        return self.start + self.unit * self.moved


def refuse_unknown(model: onnx.ModelProto) -> None:
    """Raise TeachError where a graph, quantised or not, has an operation that cannot be taught here."""
    found = unknown(model.graph.node, _PAIRS)
    if found:
        raise TeachError(f"quantisation-aware tuning knows {', '.join(OPERATIONS)}; the graph has {', '.join(found)}")


def _steps(found: Range) -> StepWidths:
    scale, zero_point = torch.from_numpy(np.array(found.scale)), torch.from_numpy(np.array(found.zero_point))
    return StepWidths(scale, zero_point, low=found.low, high=found.high, axis=found.axis)
