"""The rule's choices, and their neighbours."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autokd_edge.backends.tvm.processor import Processor
from autokd_edge.backends.tvm.tiles import Loops, allowed, lanes_for, neighbours, rule, tile_for

WIDE = Processor(triple="", cpu="", features=(), lanes=16, registers=32, dot="")
ARM = Processor(triple="", cpu="", features=(), lanes=4, registers=32, dot="sdot")
NARROW = Processor(triple="", cpu="", features=(), lanes=8, registers=16, dot="")


@pytest.mark.parametrize(("channels", "lanes"), [(64, 16), (24, 8), (10, 2), (7, 1), (16, 16), (40, 8)])
def test_a_vector_divides_the_channels(channels, lanes):
    assert lanes_for(channels, 16) == lanes


@given(st.integers(1, 56), st.integers(1, 56), st.integers(1, 512), st.sampled_from([WIDE, NARROW]), st.sampled_from([1, 4]))
def test_a_tile_divides_its_loops_and_fits_in_the_registers(height, row, channels, processor, most):
    for pixels in (row, height * row):  # a row, or all pixels of a 1x1 convolution
        tile = tile_for(pixels, row, channels, processor, vectors=range(1, most + 1))
        assert pixels % tile.pixels == 0
        assert channels % (tile.vectors * tile.lanes) == 0
        assert tile.pixels * tile.vectors <= processor.accumulators
        assert tile.vectors <= most


@pytest.mark.parametrize(("row", "channels", "pixels", "vectors"), [(28, 64, 4, 4), (7, 64, 7, 2), (14, 32, 7, 2), (14, 16, 14, 1)])
def test_the_tile_is_the_one_with_the_fewest_loads_for_each_product(row, channels, pixels, vectors):
    tile = tile_for(row, row, channels, WIDE, vectors=range(1, 5))
    assert (tile.pixels, tile.vectors) == (pixels, vectors)


@example(1, 3, 32, 1, 1, 1)  # 3 x 4 of 16 registers: the rule's tile leaves none beside its weights
@given(st.integers(1, 28), st.integers(1, 28), st.integers(1, 200), st.sampled_from([1, 9, 25, 49]), st.integers(1, 96), st.integers(1, 30))
def test_neighbours_are_other_tiles_that_may_be_had(height, row, channels, window, depth, most):
    for product in (False, True):
        loops = Loops(pixels=height * row, row=row, channels=channels, window=window, depth=depth if product else 1, product=product)
        for processor in (WIDE, NARROW):
            best, found = rule(loops, processor), neighbours(loops, processor, most)
            assert allowed(best, loops, processor)
            assert best not in found
            assert len(set(found)) == len(found) <= most
            assert all(allowed(tile, loops, processor) for tile in found)
            assert neighbours(loops, processor, most + 3)[: len(found)] == found


def test_the_first_neighbour_is_the_rules_tile_in_another_order():
    loops = Loops(pixels=28 * 28, row=28, channels=64, window=1, depth=32, product=True)
    first = neighbours(loops, WIDE, 1)[0]
    best = rule(loops, WIDE)
    assert (first.pixels, first.vectors, first.lanes, first.outer) == (best.pixels, best.vectors, best.lanes, "channels")


@pytest.mark.parametrize(("depth", "vectors"), [(1, 4), (2, 4), (64, 2)])
def test_short_sums_fill_a_vector_of_bytes_and_long_ones_save_loads(depth, vectors):
    loops = Loops(pixels=24 * 24, row=24, channels=48, window=1, depth=depth, product=True, lanes_least=4, quads=4, bytes_out=True)
    assert rule(loops, ARM).vectors == vectors


def test_three_vectors_are_no_vector_of_bytes():
    loops = Loops(pixels=64, row=8, channels=12, window=1, depth=8, product=True)
    assert rule(loops, ARM).vectors == 3
    assert rule(replace(loops, bytes_out=True), ARM).vectors == 1
