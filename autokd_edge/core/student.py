"""The student spec: a small typed layer graph with nothing left to choose.

Shapes are those of one sample: ``(channels, height, width)`` for images, ``(features,)`` after the
global pooling. Convolutions and max pooling pad by ``kernel // 2``; average pooling does not pad. Every
network of the product is written in these layers, the teacher included, so each is lowered by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]
INPUT = "input"  # the name under which layers refer to the image


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a student is for: image ``(c, h, w)``, number of classes, and the channels that kernels like."""

    image: tuple[int, int, int]
    classes: int
    channel_multiple: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2d:
    """Convolution; ``groups == in_channels`` makes it depthwise."""

    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm:
    """Batch normalisation, eps 1e-5; always folded into the convolution before it for the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu6:
    """min(max(x, 0), 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardSigmoid:
    """min(max(x / 6 + 1/2, 0), 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardSwish:
    """x * HardSigmoid(x) (Howard et al., 2019, arXiv 1905.02244)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Sum of the inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Arithmetic mean of the inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSum:
    """Sum of ``sigmoid(w_i) * x_i`` with one learnt scalar each (RandWire's and NAGO's merge)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Product of an image ``(c, h, w)`` and a factor for each channel ``(c,)``, as squeeze-and-excite gates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat:
    """Images of one size behind each other, by channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSlice:
    """Channels from ``start`` up to, and without, ``stop``."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelShuffle:
    """The channels of ``groups`` equal groups in turn: ShuffleNet's ``(g, c/g) -> (c/g, g)``."""

    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool:
    """Largest value of each window, padded by ``kernel // 2``."""

    kernel: int
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AvgPool:
    """Average pooling without padding."""

    kernel: int
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalAvgPool:
    """Mean over height and width: ``(c, h, w) -> (c,)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Dropout while teaching; nothing on the device."""

    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Affine map of a feature vector, with bias."""

    out_features: int


Activation: TypeAlias = Relu | Relu6 | HardSigmoid | HardSwish
Merge: TypeAlias = Add | Mean | WeightedSum
Rearrangement: TypeAlias = Concat | ChannelSlice | ChannelShuffle
Pooling: TypeAlias = MaxPool | AvgPool | GlobalAvgPool
Op: TypeAlias = Conv2d | Linear | BatchNorm | Dropout | Activation | Merge | Scale | Rearrangement | Pooling


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One node of the graph; ``inputs`` name earlier layers or ``"input"``."""

    name: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentSpec:
    """A network with nothing left to choose; its last layer gives the logits ``(classes,)``.

    ``seed`` starts the initial weights: everything random about a network comes from its spec.
    """

    input: tuple[int, int, int]
    layers: tuple[Layer, ...]
    seed: int
    _shapes: dict[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shapes", _infer_shapes(self))

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Output shape of each layer and of ``"input"``."""
        return self._shapes

    @property
    def output(self) -> str:
        """Name of the layer that gives the logits."""
        return self.layers[-1].name

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self._shapes[self.output][0]

    def in_channels(self, layer: Layer) -> int:
        """Channels (or features) of a layer's first input."""
        return self._shapes[layer.inputs[0]][0]


def parameter_shapes(spec: StudentSpec) -> dict[str, Shape]:
    """Name and shape of every array that a network's weights must hold, in layer order."""
    arrays: dict[str, Shape] = {}
    for layer in spec.layers:
        n_in = spec.in_channels(layer)
        match layer.op:
            case Conv2d() as conv:
                arrays[f"{layer.name}.weight"] = (conv.out_channels, n_in // conv.groups, conv.kernel, conv.kernel)
                if conv.bias:
                    arrays[f"{layer.name}.bias"] = (conv.out_channels,)
            case BatchNorm():
                for part in ("weight", "bias", "running_mean", "running_var"):
                    arrays[f"{layer.name}.{part}"] = (n_in,)
            case Linear() as linear:
                arrays[f"{layer.name}.weight"] = (linear.out_features, n_in)
                arrays[f"{layer.name}.bias"] = (linear.out_features,)
            case WeightedSum():
                arrays[f"{layer.name}.weight"] = (len(layer.inputs),)
            case _:
                pass
    return arrays


def _infer_shapes(spec: StudentSpec) -> dict[str, Shape]:
    if not spec.layers:
        raise ValueError("a network must have at least one layer; got none")
    shapes: dict[str, Shape] = {INPUT: spec.input}
    for layer in spec.layers:
        if layer.name in shapes or "." in layer.name:
            raise ValueError(f"layer names must be unique and without dots; got '{layer.name}'")
        missing = [name for name in layer.inputs if name not in shapes]
        if missing or not layer.inputs:
            raise ValueError(f"layer '{layer.name}' must read earlier layers; got {', '.join(missing) or 'none'}")
        shapes[layer.name] = shape_after(layer, [shapes[name] for name in layer.inputs])
    if len(shapes[spec.layers[-1].name]) != 1:
        raise ValueError(f"the last layer must give a vector; '{spec.layers[-1].name}' gives an image")
    return shapes


def shape_after(layer: Layer, inputs: list[Shape]) -> Shape:  # noqa: PLR0911  one case for each kind of shape
    """Infer a layer's output shape; raises ValueError where the inputs do not fit."""
    _check_inputs(layer, inputs)
    shape = inputs[0]
    match layer.op:
        case Conv2d() as conv:
            channels, height, width = shape
            if channels % conv.groups or conv.out_channels % conv.groups:
                raise ValueError(f"groups of '{layer.name}' must divide {channels} and {conv.out_channels}; got {conv.groups}")
            return (conv.out_channels, *_padded(layer, (height, width), conv.kernel, conv.stride))
        case MaxPool() as pool:
            return (shape[0], *_padded(layer, shape[1:], pool.kernel, pool.stride))
        case AvgPool() as pool:
            return (shape[0], *(_windows(layer, n, pool.kernel, pool.stride) for n in shape[1:]))
        case GlobalAvgPool():
            return shape[:1]
        case Linear() as linear:
            return (linear.out_features,)
        case Concat():
            return (sum(image[0] for image in inputs), *shape[1:])
        case ChannelSlice() as part:
            if not 0 <= part.start < part.stop <= shape[0]:
                raise ValueError(f"channels of '{layer.name}' must rise within 0 to {shape[0]}; got {part.start} to {part.stop}")
            return (part.stop - part.start, *shape[1:])
        case _:
            return shape


def _check_inputs(layer: Layer, inputs: list[Shape]) -> None:
    """Refuse inputs of a number or of ranks that a layer cannot read."""
    op, shape = layer.op, inputs[0]
    if isinstance(op, Add | Mean | WeightedSum):
        if len(set(inputs)) != 1:
            raise ValueError(f"inputs of '{layer.name}' must have one shape; got {sorted(set(inputs))}")
    elif isinstance(op, Concat):
        if any(len(image) != 3 for image in inputs) or len({image[1:] for image in inputs}) != 1:
            raise ValueError(f"inputs of '{layer.name}' must be images of one size; got {sorted(set(inputs))}")
    elif isinstance(op, Scale):
        if len(inputs) != 2 or len(shape) != 3 or inputs[1] != shape[:1]:
            raise ValueError(f"inputs of '{layer.name}' must be an image and a factor for each of its channels; got {inputs}")
    elif len(inputs) != 1:
        raise ValueError(f"layer '{layer.name}' takes one input; got {len(inputs)}")
    wants_image = isinstance(op, Conv2d | BatchNorm | MaxPool | AvgPool | GlobalAvgPool | ChannelSlice | ChannelShuffle)
    if (wants_image and len(shape) != 3) or (isinstance(op, Linear) and len(shape) != 1):
        raise ValueError(f"layer '{layer.name}' cannot read a tensor of shape {shape}")
    if isinstance(op, ChannelShuffle) and shape[0] % op.groups:
        raise ValueError(f"groups of '{layer.name}' must divide {shape[0]}; got {op.groups}")


def _padded(layer: Layer, size: Shape, kernel: int, stride: int) -> Shape:
    return tuple(_windows(layer, n + 2 * (kernel // 2), kernel, stride) for n in size)


def _windows(layer: Layer, size: int, kernel: int, stride: int) -> int:
    count = (size - kernel) // stride + 1
    if count < 1:
        raise ValueError(f"kernel {kernel} of '{layer.name}' must fit its input; got size {size}")
    return count
