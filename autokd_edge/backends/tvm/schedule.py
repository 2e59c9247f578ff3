"""One deterministic schedule rule for CPU kernels: register tiles of pixels and channels, vectorised, unrolled.

A kernel is a chain of blocks: perhaps pointwise ones, one reduction (convolution, dense layer, pooling),
perhaps pointwise ones. The last block is cut into tiles of pixels x channel vectors; the reduction is computed
at each tile into a local accumulator that stays in registers, and what follows is applied to it on its way
to memory. Found by experiment to be within some per cent of hand-written kernels with no tuning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from autokd_edge.backends.tvm.intrinsics import dot_product
from autokd_edge.backends.tvm.processor import Processor

Vendor = Any  # TVM's schedules, blocks and loops, which have no types
# More channel vectors than this gain nothing: each weight is then loaded once for several pixels already.
_CHANNEL_VECTORS_MOST = 4
# The window of a depthwise 5x5 convolution; a global pooling of a large image would fill the instruction cache.
_UNROLLED_MOST = 25
# Rows, columns, quads of channels, and the four of a quad: the reduction of a convolution by dot products.
_DOT_AXES = 4
# Operations of a kernel that are worth waking other threads for, which takes some microseconds.
_SHARED_LEAST = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """What one turn of the innermost loops computes."""

    pixels: int
    vectors: int  # of channels
    lanes: int


def scheduled(function: Vendor, processor: Processor, threads: int = 1) -> Vendor:
    """Return a TIR function with the rule applied; with several threads, its tiles are shared out where there are enough.

    A tile is computed by one thread as it is by a single one, so that the numbers are the same.
    """
    from tvm import IRModule
    from tvm.s_tir import Schedule

    if str(function.params[-1].dtype) == "float16":
        processor = replace(processor, lanes=2 * processor.lanes)
    schedule = Schedule(IRModule({"main": function}))
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    reductions = [block for block in blocks if _reduction_axes(schedule, block)]
    if _operations(schedule, blocks) < _SHARED_LEAST:
        threads = 1
    if len(reductions) == 1:
        _tile_reduction(schedule, blocks, reductions[0], processor, threads)
    elif not reductions:
        for block in blocks[:-1]:
            schedule.compute_inline(block)
        _share(schedule, _vectorize(schedule, blocks[-1], processor.lanes), threads)
    return schedule.mod["main"]


def tile_for(pixels: int, row: int, channels: int, processor: Processor, *, vectors_most: int) -> Tile:
    """Choose the tile with the fewest loads for each multiplication: (pixels + vectors) / (pixels * vectors).

    ``pixels`` are those of the tiled loop; a tile divides them, and fits in a ``row`` or holds whole ones.
    """
    lanes = lanes_for(channels, processor.lanes)
    best = Tile(pixels=1, vectors=1, lanes=lanes)
    cost = 2.0
    for vectors in range(1, vectors_most + 1):
        if channels % (lanes * vectors):
            continue
        most = max(1, processor.accumulators // vectors)
        fitting = max(p for p in range(1, most + 1) if pixels % p == 0 and (row % p == 0 or p % row == 0))
        loads = (fitting + vectors) / (fitting * vectors)
        if loads < cost:
            best, cost = Tile(pixels=fitting, vectors=vectors, lanes=lanes), loads
    return best


def lanes_for(extent: int, lanes: int) -> int:
    """Return the widest vector, a power of 2, that divides a loop."""
    width = 1
    while width * 2 <= lanes and extent % (width * 2) == 0:
        width *= 2
    return width


def _share(schedule: Vendor, tiles: list[Vendor], threads: int) -> None:
    """Give each thread a part of the outermost loop that turns more than once.

    Loops are not fused for it: TVM would no longer see which part of the accumulator a tile needs, and keep all of it.
    """
    loop = next((loop for loop in tiles if _extent(schedule, loop) > 1), None)
    if threads > 1 and loop is not None:
        schedule.parallel(loop)


def _operations(schedule: Vendor, blocks: list[Vendor]) -> int:
    """Count what a kernel computes, roughly: the turns of its longest block."""
    return max(math.prod(int(axis.dom.extent) for axis in schedule.get(block).iter_vars) for block in blocks)


def _tile_reduction(schedule: Vendor, blocks: list[Vendor], reduction: Vendor, processor: Processor, threads: int) -> None:
    names = [schedule.get(block).name_hint for block in blocks]
    place = names.index(schedule.get(reduction).name_hint)
    for block in blocks[:place]:
        schedule.compute_inline(block)
    for block in reversed(blocks[place + 1 : -1]):
        schedule.compute_inline(block)
    axes = _reduction_axes(schedule, reduction)
    # Without anything behind it, the copy from the accumulator to memory is what is tiled.
    last = blocks[-1] if place + 1 < len(blocks) else schedule.cache_write(reduction, 0, "local")
    if place + 1 < len(blocks):
        schedule.set_scope(reduction, 0, "local")
    loops = schedule.get_loops(last)
    extents = [_extent(schedule, loop) for loop in loops]
    channels, row = extents[-1], extents[-2]
    window = 1
    for axis in axes[:2]:
        window *= axis
    is_product = len(axes) in {1, 3, _DOT_AXES}
    if len(loops) == 4 and len(axes) in {3, _DOT_AXES} and window == 1:
        pixels = schedule.fuse(*loops[:-1])  # a 1x1 convolution: all pixels are one row
        outer = []
    else:
        outer, pixels = loops[:-2], loops[-2]
    tile = tile_for(_extent(schedule, pixels), row, channels, processor, vectors_most=_CHANNEL_VECTORS_MOST if is_product else 1)
    pixel_tiles, pixel = schedule.split(pixels, [None, tile.pixels])
    channel_tiles, channel = schedule.split(loops[-1], [None, tile.vectors * tile.lanes])
    schedule.reorder(*outer, pixel_tiles, channel_tiles, pixel, channel)
    _unrolled_vectors(schedule, channel, tile)
    schedule.unroll(pixel)
    schedule.compute_at(reduction, channel_tiles, preserve_unit_loops=True)
    _share(schedule, [*outer, pixel_tiles, channel_tiles], threads)
    if len(axes) == _DOT_AXES:
        _tile_dot_products(schedule, reduction, tile, processor)
    else:
        _tile_accumulator(schedule, reduction, tile, len(axes), unroll_window=not is_product and window <= _UNROLLED_MOST)


def _tile_accumulator(schedule: Vendor, reduction: Vendor, tile: Tile, axes: int, *, unroll_window: bool) -> None:
    """Order the reduction outside of the tile and keep the tile in registers."""
    inner = schedule.get_loops(reduction)
    rank = len(schedule.get(reduction).iter_vars)
    inner = inner[-rank:]
    spatial, reduced = inner[: rank - axes], inner[rank - axes :]
    vectors, lane = schedule.split(spatial[-1], [tile.vectors, tile.lanes])
    schedule.reorder(*reduced, *spatial[:-1], vectors, lane)
    schedule.vectorize(lane)
    for loop in (vectors, *spatial[:-1], *(reduced if unroll_window else ())):
        schedule.unroll(loop)
    schedule.decompose_reduction(reduction, reduced[0])


def _tile_dot_products(schedule: Vendor, reduction: Vendor, tile: Tile, processor: Processor) -> None:
    """Order as ``_tile_accumulator`` does, with a vector of channels and a quad as one instruction."""
    rank = len(schedule.get(reduction).iter_vars)
    inner = schedule.get_loops(reduction)[-rank:]
    spatial, (rows, columns, quads, four) = inner[: rank - _DOT_AXES], inner[rank - _DOT_AXES :]
    vectors, lane = schedule.split(spatial[-1], [tile.vectors, tile.lanes])
    schedule.reorder(rows, columns, quads, *spatial[:-1], vectors, lane, four)
    for loop in (vectors, *spatial[:-1]):
        schedule.unroll(loop)
    start = schedule.decompose_reduction(reduction, rows)
    schedule.vectorize(schedule.get_loops(start)[-1])
    schedule.tensorize(lane, dot_product(processor.dot, tile.lanes))


def _unrolled_vectors(schedule: Vendor, loop: Vendor, tile: Tile) -> None:
    vectors, lane = schedule.split(loop, [tile.vectors, tile.lanes])
    schedule.vectorize(lane)
    schedule.unroll(vectors)


def _vectorize(schedule: Vendor, block: Vendor, lanes: int) -> list[Vendor]:
    """Make vectors of the innermost loop; returns the loops around it."""
    loops = schedule.get_loops(block)
    if loops:
        width = lanes_for(_extent(schedule, loops[-1]), lanes)
        if width > 1:
            _, lane = schedule.split(loops[-1], [None, width])
            schedule.vectorize(lane)
    return list(loops[:-1])


def _reduction_axes(schedule: Vendor, block: Vendor) -> list[int]:
    """Return the extents of a block's reduction axes."""
    from tvm import tirx

    axes = schedule.get(block).iter_vars
    return [int(axis.dom.extent) for axis in axes if axis.iter_type == tirx.IterVar.CommReduce]


def _extent(schedule: Vendor, loop: Vendor) -> int:
    return int(schedule.get(loop).extent)
