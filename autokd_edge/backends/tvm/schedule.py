"""One deterministic schedule rule for CPU kernels: register tiles of pixels and channels, vectorised, unrolled.

A kernel is a chain of blocks: perhaps pointwise ones, one reduction (convolution, dense layer, pooling),
perhaps pointwise ones. The last block is cut into tiles of pixels x channel vectors; the reduction is computed
at each tile into a local accumulator that stays in registers, and what follows is applied to it on its way
to memory. Found by experiment to be within some per cent of hand-written kernels with no tuning.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from autokd_edge.backends.tvm.intrinsics import column_product, dot_product, quads_of
from autokd_edge.backends.tvm.kernels import DOT_DENSE, DOT_DEPTHWISE
from autokd_edge.backends.tvm.lookup import BLOCK
from autokd_edge.backends.tvm.processor import Processor
from autokd_edge.backends.tvm.tiles import Loops, Tile, allowed, lanes_for, neighbours, rule
from autokd_edge.errors import BuildError

Vendor = Any  # TVM's schedules, blocks and loops, which have no types
# Rows, columns, quads of channels, and the four of a quad: the reduction of a convolution by dot products.
_DOT_AXES = 4
_WINDOW_AXES = 2  # a depthwise convolution or a pooling sums over its window alone
_BYTES = 16  # in a vector of every processor: sums are narrowed to so many at a time
# Operations of a kernel that are worth waking other threads for, which takes some microseconds.
_SHARED_LEAST = 100_000


def scheduled(function: Vendor, processor: Processor, threads: int = 1, tile: Tile | None = None) -> Vendor:
    """Return a TIR function with a tile of its reduction, by default the rule's; with several threads, its tiles are shared out.

    A tile is computed by one thread as it is by a single one, so that the numbers are the same.

    Raises:
        BuildError: the tile is not one of this function's.
    """
    schedule, blocks, reductions = _read(function)
    processor = _of_type(function, schedule, reductions, processor)
    if _operations(schedule, blocks) < _SHARED_LEAST:
        threads = 1
    if len(reductions) == 1:
        loops = _loops(schedule, blocks, reductions[0], processor)
        if tile is not None and not allowed(tile, loops, processor):
            raise BuildError(f"a tile must divide its kernel's loops and fit in the registers; got {tile} for {loops}")
        _tile_reduction(schedule, blocks, reductions[0], tile or rule(loops, processor), processor, threads)
    elif not reductions and schedule.get(blocks[-1]).name_hint != BLOCK:  # a look-up is written as it is to run
        for block in blocks[:-1]:
            schedule.compute_inline(block)
        _share(schedule, _vectorize(schedule, blocks[-1], _lanes_out(schedule, processor.lanes)), threads)
    return schedule.mod["main"]


def other_tiles(function: Vendor, processor: Processor, most: int) -> tuple[Tile, ...]:
    """Return up to ``most`` tiles that a function may have instead of the rule's; none where there is nothing to tile."""
    schedule, blocks, reductions = _read(function)
    if len(reductions) != 1:
        return ()
    return neighbours(_loops(schedule, blocks, reductions[0], processor), _of_type(function, schedule, reductions, processor), most)


def _of_type(function: Vendor, schedule: Vendor, reductions: list[Vendor], processor: Processor) -> Processor:
    """Return a processor as it is for the numbers of a function.

    Twice as many numbers of 16 bits fit in a vector. A depthwise convolution of 8-bit numbers reads as many as 16 at once,
    whose sums fill several vectors on Arm.
    """
    if str(function.params[-1].dtype) == "float16":
        return replace(processor, lanes=2 * processor.lanes)
    if any(_is_dot_depthwise(schedule, reduction) for reduction in reductions) and processor.lanes < _BYTES:
        return replace(processor, lanes=_BYTES, registers=processor.registers * processor.lanes // _BYTES)
    return processor


def _read(function: Vendor) -> tuple[Vendor, list[Vendor], list[Vendor]]:
    """Return a schedule of a function, its blocks, and those of them that reduce."""
    from tvm import IRModule
    from tvm.s_tir import Schedule

    schedule = Schedule(IRModule({"main": function}))
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    return schedule, blocks, [block for block in blocks if _reduction_axes(schedule, block)]


def _loops(schedule: Vendor, blocks: list[Vendor], reduction: Vendor, processor: Processor) -> Loops:
    """Read what there is to tile around a reduction."""
    axes = _reduction_axes(schedule, reduction)
    names = [schedule.get(block).name_hint for block in blocks]
    last = blocks[-1] if names[-1] != schedule.get(reduction).name_hint else reduction
    rank = len(schedule.get(reduction).iter_vars) - len(axes)
    extents = [_extent(schedule, loop) for loop in schedule.get_loops(last)][:rank]
    dot = _dot_axes(schedule, reduction)
    sums = axes[: len(axes) - 1] if dot else axes  # the last one is within an instruction
    by_channel = len(sums) == _WINDOW_AXES
    quads = quads_of(processor.dot, sums[-1]) if dot and not by_channel else 1
    # A 1x1 convolution: all pixels are one row.
    pixels = math.prod(extents[:-1]) if _is_pointwise(axes, rank) else extents[-2]
    return Loops(
        pixels=pixels,
        row=extents[-2],
        channels=extents[-1],
        window=math.prod(sums[:2]) if len(sums) > 1 else 1,
        depth=1 if by_channel else sums[-1] // quads,
        product=not by_channel,
        lanes_least=4 if dot else 1,
        quads=quads,
        bytes_out=_makes_bytes(schedule),
    )


def _dot_axes(schedule: Vendor, reduction: Vendor) -> int:
    """Return how many axes a reduction by dot products has, the last one within an instruction; 0 for another."""
    axes = len(_reduction_axes(schedule, reduction))
    return axes if axes == _DOT_AXES or schedule.get(reduction).name_hint.startswith((DOT_DEPTHWISE, DOT_DENSE)) else 0


def _is_dot_depthwise(schedule: Vendor, reduction: Vendor) -> bool:
    return bool(schedule.get(reduction).name_hint.startswith(DOT_DEPTHWISE))


def _is_pointwise(axes: list[int], rank: int) -> bool:
    return rank == 4 and len(axes) > _WINDOW_AXES and math.prod(axes[:2]) == 1


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


def _tile_reduction(schedule: Vendor, blocks: list[Vendor], reduction: Vendor, tile: Tile, processor: Processor, threads: int) -> None:
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
    if _is_pointwise(axes, len(loops)):
        outer, pixels = [], schedule.fuse(*loops[:-1])
    else:
        outer, pixels = loops[:-2], loops[-2]
    pixel_tiles, pixel = schedule.split(pixels, [None, tile.pixels])
    channel_tiles, channel = schedule.split(loops[-1], [None, tile.vectors * tile.lanes])
    turns = [*outer, pixel_tiles, channel_tiles] if tile.outer == "pixels" else [channel_tiles, *outer, pixel_tiles]
    schedule.reorder(*turns, pixel, channel)
    _unrolled_vectors(schedule, channel, tile, _lanes_out(schedule, tile.lanes))
    schedule.unroll(pixel)
    schedule.compute_at(reduction, turns[-1], preserve_unit_loops=True)
    _share(schedule, turns, threads)
    dot = _dot_axes(schedule, reduction)
    if dot and _is_dot_depthwise(schedule, reduction):
        _tile_dot_products(schedule, reduction, tile, dot, column_product(processor.dot, tile.lanes, axes[-1]))
    elif dot:
        quads = quads_of(processor.dot, axes[-2])
        _tile_dot_products(schedule, reduction, tile, dot, dot_product(processor.dot, tile.lanes, quads), quads)
    else:
        _tile_accumulator(schedule, reduction, tile, len(axes))


def _tile_accumulator(schedule: Vendor, reduction: Vendor, tile: Tile, axes: int) -> None:
    """Order the reduction outside of the tile and keep the tile in registers."""
    rank = len(schedule.get(reduction).iter_vars)
    inner = schedule.get_loops(reduction)[-rank:]
    spatial, reduced = inner[: rank - axes], inner[rank - axes :]
    vectors, lane = schedule.split(spatial[-1], [tile.vectors, tile.lanes])
    reduced, written = _written_out(schedule, reduced, tile)
    schedule.reorder(*reduced, *spatial[:-1], vectors, lane)
    schedule.vectorize(lane)
    for loop in (vectors, *spatial[:-1], *written):
        schedule.unroll(loop)
    schedule.decompose_reduction(reduction, reduced[0])


def _tile_dot_products(schedule: Vendor, reduction: Vendor, tile: Tile, axes: int, instruction: str, quads: int = 1) -> None:
    """Order as ``_tile_accumulator`` does, with a vector of channels and some quads, or a column, as one instruction."""
    rank = len(schedule.get(reduction).iter_vars)
    inner = schedule.get_loops(reduction)[-rank:]
    spatial, reduced, within = inner[: rank - axes], inner[rank - axes : -1], [inner[-1]]
    if quads > 1:
        turns, quad = schedule.split(reduced[-1], [None, quads])
        reduced, within = [*reduced[:-1], turns], [quad, *within]
    vectors, lane = schedule.split(spatial[-1], [tile.vectors, tile.lanes])
    reduced, written = _written_out(schedule, reduced, tile)
    schedule.reorder(*reduced, *spatial[:-1], vectors, lane, *within)
    for loop in (vectors, *spatial[:-1], *written):
        schedule.unroll(loop)
    start = schedule.decompose_reduction(reduction, reduced[0])
    _forget_start(schedule, reduction)
    schedule.vectorize(schedule.get_loops(start)[-1])
    schedule.tensorize(lane, instruction)


def _forget_start(schedule: Vendor, reduction: Vendor) -> None:
    """Take from what a reduction says that it reads what its beginning read, which is a block of its own now.

    The scheduler leaves it there, where no instruction matches it.
    """
    from tvm.s_tir import SBlock
    from tvm.s_tir.analysis import get_sblock_access_region

    block = schedule.get(reduction)
    read, _, _ = get_sblock_access_region(block, {region.source: region.source for region in (*block.reads, *block.writes)})
    reads = [region for region in block.reads if any(region.source.same_as(found.source) for found in read)]
    if len(reads) < len(block.reads):
        alone = SBlock(block.iter_vars, reads, block.writes, block.name_hint, block.body, annotations=block.annotations)
        schedule.state.replace(schedule.get_sref(reduction), alone, {block: alone})


def _written_out(schedule: Vendor, reduced: list[Vendor], tile: Tile) -> tuple[list[Vendor], list[Vendor]]:
    """Return the loops of a sum, in the order that they always have, and those of them that are written out."""
    if tile.unrolled == 0:
        return reduced, reduced
    if tile.unrolled == 1:
        return reduced, []
    turns, few = schedule.split(reduced[-1], [None, tile.unrolled])
    return [*reduced[:-1], turns, few], [few]


def _lanes_out(schedule: Vendor, lanes: int) -> int:
    """Return how many numbers of what a kernel makes are written at a time."""
    return max(_BYTES, lanes) if _makes_bytes(schedule) else lanes


def _makes_bytes(schedule: Vendor) -> bool:
    return str(schedule.mod["main"].params[-1].dtype) in {"int8", "uint8"}


def _unrolled_vectors(schedule: Vendor, loop: Vendor, tile: Tile, lanes: int) -> None:
    vectors, lane = schedule.split(loop, [None, lanes_for(tile.vectors * tile.lanes, lanes)])
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
