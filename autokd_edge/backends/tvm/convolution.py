"""Windows of convolutions and poolings as ONNX writes them, and convolutions in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from autokd_edge.backends.tvm import kernels
from autokd_edge.backends.tvm.importer import UnsupportedError
from autokd_edge.backends.tvm.network import ANCHOR, Array, Network, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a window moves over an image ``(n, h, w, c)``; ``pads`` are (before, after) of each dimension."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[tuple[int, int], ...]
    groups: int


def window_of(node: onnx.NodeProto, size: Sequence[int]) -> Window:
    """Read the window of a Conv or a pooling; raises UnsupportedError."""
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if given.get("auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"} or given.get("ceil_mode", 0) or len(size) != 2:
        raise UnsupportedError(f"{node.op_type} '{node.name}' must give its padding in numbers, two dimensions, and round down")
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    return Window(
        size=(int(size[0]), int(size[1])),
        stride=_pair(given.get("strides", (1, 1))),
        dilation=_pair(given.get("dilations", (1, 1))),
        pads=((0, 0), (top, bottom), (left, right), (0, 0)),
        groups=given.get("group", 1),
    )


def float_convolution(network: Network, image: Value, weight: Array, window: Window, bias: Array | None) -> Value:
    """Convolve an image with float32 weights ``(o, c / groups, u, v)``."""
    padded = network.padded(network.image(image), window.pads, 0.0)
    if is_depthwise(weight, window):
        packed = weight[:, 0].transpose(1, 2, 0)  # (u, v, c)
        made = network.emit(
            "depthwise",
            lambda x, w: kernels.depthwise(x, w, None, window.stride, window.dilation, network.dtype),
            padded,
            packed,
            pattern=ANCHOR,
            like=padded,
        )
    else:
        packed = weight.transpose(2, 3, 1, 0)  # (u, v, c / groups, o)
        made = network.emit(
            "conv",
            lambda x, w: kernels.convolution(x, w, None, window.stride, window.dilation, network.dtype),
            padded,
            packed,
            pattern=ANCHOR,
            like=padded,
        )
    return made if bias is None else network.pointwise("bias", lambda x, b: x + b, made, bias.astype(np.float32))


def is_depthwise(weight: Array, window: Window) -> bool:
    """Say whether each channel is convolved with one kernel of its own."""
    return bool(weight.shape[1] == 1 and window.groups == weight.shape[0])


def _pair(numbers: Sequence[int]) -> tuple[int, int]:
    first, second = numbers
    return first, second
