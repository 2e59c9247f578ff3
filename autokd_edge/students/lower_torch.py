"""Lower a student spec to a torch module whose state has the spec's own parameter names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd_edge.core.student import (
    INPUT,
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
    Op,
    Relu,
    Relu6,
    Scale,
    StudentSpec,
    WeightedSum,
)
from autokd_edge.students.depthwise import DepthwiseConv2d


class SpecNetwork(nn.Module):
    """A student spec as a torch module: images ``(n, c, h, w)`` to logits ``(n, classes)``."""

    def __init__(self, spec: StudentSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleDict({layer.name: _module(spec, layer) for layer in spec.layers})
        self._plan = _plan(spec)

    def forward(self, images: Tensor) -> Tensor:
        """Run the layers in order, dropping each tensor after its last reader."""
        values = {INPUT: images}
        for name, inputs, dead in self._plan:
            values[name] = self.layers[name](*(values[i] for i in inputs))
            for gone in dead:
                del values[gone]
        return values[self.spec.output]

    def laid_out(self, layout: torch.memory_format) -> SpecNetwork:
        """Store the weights in a memory format and return the network itself."""
        super().to(memory_format=layout)  # type: ignore[call-overload] # torch types it for tensors only
        return self

    def arrays(self) -> dict[str, Tensor]:
        """Weights under the names of ``core.student.parameter_shapes``, on the CPU, float32."""
        state = self.layers.state_dict()
        return {
            name: value.detach().cpu().float().contiguous() for name, value in state.items() if not name.endswith("num_batches_tracked")
        }

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        """Take weights by name; raises RuntimeError where names or shapes differ."""
        counters = {n: v for n, v in self.layers.state_dict().items() if n.endswith("num_batches_tracked")}
        self.layers.load_state_dict({**{n: v.float() for n, v in arrays.items()}, **counters})


def torch_from_spec(spec: StudentSpec) -> SpecNetwork:
    """Build the module with initial weights that depend on ``spec.seed`` alone (He, fan-out)."""
    network = SpecNetwork(spec)
    generator = torch.Generator().manual_seed(spec.seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan = module.weight[0].numel() if isinstance(module, nn.Linear) else _fan_out(module)
                module.weight.normal_(0.0, (2.0 / fan) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
    return network


class _WeightedSum(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(inputs))  # RandWire's start

    def forward(self, *inputs: Tensor) -> Tensor:
        scales = torch.sigmoid(self.weight).to(inputs[0].dtype).unbind()
        total = inputs[0] * scales[0]
        for value, scale in zip(inputs[1:], scales[1:], strict=True):
            total = torch.addcmul(total, value, scale)
        return total


class _Add(nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total


class _Mean(_Add):
    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*inputs) / len(inputs)


class _Scale(nn.Module):
    def forward(self, image: Tensor, factors: Tensor) -> Tensor:
        return image * factors[:, :, None, None]


class _Concat(nn.Module):
    def forward(self, *images: Tensor) -> Tensor:
        return torch.cat(images, dim=1)


class _ChannelSlice(nn.Module):
    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self._channels = slice(start, stop)

    def forward(self, image: Tensor) -> Tensor:
        return image[:, self._channels]


class _ChannelShuffle(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self._groups = groups

    def forward(self, image: Tensor) -> Tensor:
        return functional.channel_shuffle(image, self._groups)


class _GlobalAvgPool(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean(dim=(2, 3))


def _module(spec: StudentSpec, layer: Layer) -> nn.Module:
    n_in = spec.in_channels(layer)
    match layer.op:
        case Conv2d() as c if 1 < c.groups == n_in == c.out_channels:
            return DepthwiseConv2d(n_in, c.kernel, c.stride, bias=c.bias)
        case Conv2d() as c:
            return nn.Conv2d(n_in, c.out_channels, c.kernel, c.stride, c.kernel // 2, groups=c.groups, bias=c.bias)
        case BatchNorm():
            return nn.BatchNorm2d(n_in)
        case WeightedSum():
            return _WeightedSum(len(layer.inputs))
        case Linear() as linear:
            return nn.Linear(n_in, linear.out_features)
        case op:
            return _without_weights(op)


def _without_weights(op: Op) -> nn.Module:
    match op:
        case MaxPool() as p:
            return nn.MaxPool2d(p.kernel, p.stride, p.kernel // 2)
        case AvgPool() as p:
            return nn.AvgPool2d(p.kernel, p.stride)
        case Dropout() as d:
            return nn.Dropout(d.rate)
        case ChannelSlice() as part:
            return _ChannelSlice(part.start, part.stop)
        case ChannelShuffle() as shuffle:
            return _ChannelShuffle(shuffle.groups)
        case _:
            return _PLAIN[type(op)]()


# Layers with nothing to set.
_PLAIN: Mapping[type[Op], Callable[[], nn.Module]] = {
    Relu: nn.ReLU,
    Relu6: nn.ReLU6,
    HardSigmoid: nn.Hardsigmoid,
    HardSwish: nn.Hardswish,
    Add: _Add,
    Mean: _Mean,
    Scale: _Scale,
    Concat: _Concat,
    GlobalAvgPool: _GlobalAvgPool,
}


def _plan(spec: StudentSpec) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
    last_reader = {name: layer.name for layer in spec.layers for name in layer.inputs}
    return tuple(
        (layer.name, layer.inputs, tuple(n for n in dict.fromkeys(layer.inputs) if last_reader[n] == layer.name)) for layer in spec.layers
    )


def _fan_out(conv: nn.Conv2d) -> int:
    return conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1] // conv.groups
