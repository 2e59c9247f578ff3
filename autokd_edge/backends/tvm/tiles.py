"""Register tiles of one kernel: the rule's own choice, and the neighbours of it that a board may be asked about.

Every tile of a kernel gives the same numbers to the bit: tiles group the outputs, and each output's sum is
taken in one order whatever the group. So tuning never touches an accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from autokd_edge.backends.tvm.processor import Processor

# More channel vectors than this gain nothing: each weight is then loaded once for several pixels already.
_CHANNEL_VECTORS_MOST = 4
# A depthwise 5x5 window, a 3x3 of three colours; a global pooling of a large image would fill the instruction cache.
_UNROLLED_MOST = 27
_UNROLLED_DEPTH = 4  # of a sum over channels: enough to hide the loop's own instructions
_BYTES = 16  # in a vector of every processor
_NARROWER = (1, 2, 4)  # a half and a quarter of the widest vector fill registers where few channels are left

Order: TypeAlias = Literal["pixels", "channels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """What one turn of the innermost loops computes, and how the turns follow each other."""

    pixels: int
    vectors: int  # of channels
    lanes: int
    outer: Order = "pixels"  # what the outermost loop of tiles, the one that threads share, goes along
    unrolled: int = 1  # turns of the innermost sum that are written out; 0 is all turns of the window too

    def __post_init__(self) -> None:
        for name in ("pixels", "vectors", "lanes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of a tile must be at least 1; got {getattr(self, name)}")
        if self.unrolled < 0:
            raise ValueError(f"unrolled must not be negative; got {self.unrolled}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """What is tiled in a kernel: ``pixels`` turns in rows of ``row``, for each channel a sum over ``window`` x ``depth``."""

    pixels: int
    row: int
    channels: int
    window: int  # 1 where the sum is over channels alone
    depth: int  # of the innermost sum; 1 where each channel is summed by itself
    product: bool  # a weight serves several pixels, so that several vectors of channels save loads
    lanes_least: int = 1  # of a vector, where instructions come in few widths
    quads: int = 1  # of channels that are loaded at once from a pixel, each for a load of weights
    bytes_out: bool = False  # sums leave as 8-bit numbers, as many vectors at once as fill one of these


def rule(loops: Loops, processor: Processor) -> Tile:
    """Return the tile of an engine that nobody tuned."""
    most = _CHANNEL_VECTORS_MOST if loops.product else 1
    vectors = [v for v in range(1, most + 1) if not loops.bytes_out or processor.lanes >= _BYTES or v & (v - 1) == 0]
    narrowing = 1 / (loops.window * loops.depth * loops.quads) if loops.bytes_out else 0.0
    tile = tile_for(loops.pixels, loops.row, loops.channels, processor, vectors=vectors, quads=loops.quads, narrowing=narrowing)
    return replace(tile, unrolled=0) if not loops.product and loops.window <= _UNROLLED_MOST else tile


def allowed(tile: Tile, loops: Loops, processor: Processor) -> bool:
    """Say whether a tile divides the loops and leaves the accumulator in registers."""
    lanes = lanes_for(loops.channels, processor.lanes)
    whole = loops.pixels % tile.pixels == 0 and loops.channels % (tile.vectors * tile.lanes) == 0
    rows = loops.row % tile.pixels == 0 or tile.pixels % loops.row == 0
    sums = tile.pixels * tile.vectors
    fits = sums <= processor.accumulators or sums + tile.vectors < processor.registers
    unrolled = loops.depth % tile.unrolled == 0 if tile.unrolled else loops.window * loops.depth <= _UNROLLED_MOST
    return whole and rows and fits and unrolled and loops.lanes_least <= tile.lanes <= lanes and lanes % tile.lanes == 0


def neighbours(loops: Loops, processor: Processor, most: int) -> tuple[Tile, ...]:
    """Return up to ``most`` other tiles than the rule's, the most promising first.

    Promising is another order of the turns, then another shape with few loads, then more that is written out.
    """
    best = rule(loops, processor)
    shapes = [best, *sorted(_shapes(best, loops, processor), key=lambda tile: (_loads(tile), -tile.lanes, tile.vectors))]
    orders: tuple[Order, ...] = ("pixels", "channels")
    found = [replace(best, outer="channels")]
    for unrolled in ((1,), (_UNROLLED_DEPTH, 0)) if loops.product else ((1,), (0,)):
        found += [replace(tile, outer=outer, unrolled=few) for tile in shapes for few in unrolled for outer in orders]
    return tuple(tile for tile in dict.fromkeys(found) if tile != best and allowed(tile, loops, processor))[:most]


def _shapes(best: Tile, loops: Loops, processor: Processor) -> list[Tile]:
    """Return, for each number of vectors of each width, the two tiles with most pixels.

    Where nothing is shared between pixels, the weights of a window lie in registers too, and half of these are left.
    """
    widest, room = lanes_for(loops.channels, processor.lanes), processor.registers if loops.product else processor.registers // 2
    found = []
    for narrower in _NARROWER:
        for vectors in range(1, room):
            tiles = [replace(best, pixels=p, vectors=vectors, lanes=max(1, widest // narrower)) for p in range(1, room // vectors + 1)]
            found += [tile for tile in tiles if allowed(tile, loops, processor)][-2:]
    return found


def _loads(tile: Tile) -> float:
    """Count the loads for each product."""
    return (tile.pixels + tile.vectors) / (tile.pixels * tile.vectors * tile.lanes)


def tile_for(
    pixels: int, row: int, channels: int, processor: Processor, *, vectors: Sequence[int], quads: int = 1, narrowing: float = 0.0
) -> Tile:
    """Choose the tile with the fewest loads for each multiplication: (pixels / quads + vectors) / (pixels * vectors).

    ``pixels`` are those of the tiled loop; a tile divides them, and fits in a ``row`` or holds whole ones. Sums that leave
    as bytes cost ``narrowing`` of a multiplication, about, for each part of a vector of bytes but the first.
    """
    lanes = lanes_for(channels, processor.lanes)
    best = Tile(pixels=1, vectors=1, lanes=lanes)
    cost = math.inf
    for count in vectors:
        if channels % (lanes * count):
            continue
        most = max(1, processor.accumulators // count)
        fitting = max(p for p in range(1, most + 1) if pixels % p == 0 and (row % p == 0 or p % row == 0))
        loads = (fitting / quads + count) / (fitting * count)
        parts = max(1.0, _BYTES / (count * lanes))
        if loads + narrowing * (parts - 1) < cost:
            best, cost = Tile(pixels=fitting, vectors=count, lanes=lanes), loads + narrowing * (parts - 1)
    return best


def lanes_for(extent: int, lanes: int) -> int:
    """Return the widest vector, a power of 2, that divides a loop."""
    width = 1
    while width * 2 <= lanes and extent % (width * 2) == 0:
        width *= 2
    return width
