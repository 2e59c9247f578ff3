"""Write a layer graph one layer at a time; equal parameterless layers are written once."""

from __future__ import annotations

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
    Shape,
    StudentSpec,
    WeightedSum,
    shape_after,
)

_NAMES: dict[type[Op], str] = {
    Conv2d: "conv",
    BatchNorm: "norm",
    Relu: "relu",
    Relu6: "relu",
    HardSigmoid: "gate",
    HardSwish: "swish",
    Scale: "scale",
    Concat: "concat",
    ChannelSlice: "slice",
    ChannelShuffle: "shuffle",
    MaxPool: "pool",
    Add: "add",
    Mean: "mean",
    WeightedSum: "merge",
    AvgPool: "pool",
    GlobalAvgPool: "gap",
    Dropout: "drop",
    Linear: "fc",
}
_OWN = (Conv2d, Linear, BatchNorm, WeightedSum, Dropout)  # with weights or chance; any other op on the same inputs is the same tensor


class GraphWriter:
    """Collects layers in order and knows the shape of each."""

    def __init__(self, image: tuple[int, int, int]) -> None:
        self._image = image
        self._layers: list[Layer] = []
        self._shapes: dict[str, Shape] = {INPUT: image}
        self._written: dict[tuple[Op, tuple[str, ...]], str] = {}

    def put(self, op: Op, *inputs: str) -> str:
        """Append a layer and return its name; raises ValueError where shapes do not fit."""
        known = self._written.get((op, inputs))
        if known is not None:
            return known
        layer = Layer(name=f"{_NAMES[type(op)]}{len(self._layers)}", op=op, inputs=inputs)
        self._shapes[layer.name] = shape_after(layer, [self._shapes[name] for name in inputs])
        self._layers.append(layer)
        if not isinstance(op, _OWN):
            self._written[(op, inputs)] = layer.name
        return layer.name

    def norm(self, x: str) -> str:
        """Append a batch normalisation."""
        return self.put(BatchNorm(), x)

    def conv_norm(self, x: str, out_channels: int, kernel: int = 3, *, stride: int = 1, depthwise: bool = False) -> str:
        """Append a convolution without bias and its batch normalisation."""
        groups = self.channels(x) if depthwise else 1
        return self.norm(self.put(Conv2d(out_channels=out_channels, kernel=kernel, stride=stride, groups=groups), x))

    def channels(self, x: str) -> int:
        """Channels of a layer's output."""
        return self._shapes[x][0]

    def size(self, x: str) -> tuple[int, int]:
        """Height and width of a layer's output."""
        _, height, width = self._shapes[x]
        return height, width

    def spec(self, *, seed: int) -> StudentSpec:
        """Close the graph: the last layer written gives the logits."""
        return StudentSpec(input=self._image, layers=tuple(self._layers), seed=seed)
