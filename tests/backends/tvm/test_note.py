"""Tiles noted in a graph."""

import onnx
import pytest
from fakes.graphs import write_graph

from autokd_edge.backends.tvm.note import KEY, noted, tiles_of
from autokd_edge.backends.tvm.tiles import Tile
from autokd_edge.errors import BuildError

TILES = {"b": Tile(pixels=4, vectors=2, lanes=8, outer="channels"), "a": Tile(pixels=1, vectors=1, lanes=4, unrolled=0)}


@pytest.fixture
def graph(tmp_path):
    return onnx.load(write_graph(tmp_path / "graph.onnx"))


def test_what_was_noted_is_read_and_replaced_and_the_rest_of_the_graph_stays(graph):
    graph.metadata_props.append(onnx.StringStringEntryProto(key="theirs", value="kept"))
    once = noted(graph, TILES)
    assert tiles_of(once) == TILES
    again = noted(once, {"a": TILES["a"]})
    assert tiles_of(again) == {"a": TILES["a"]}
    assert noted(again, {}) == graph
    assert tiles_of(graph) == {}


@pytest.mark.parametrize("text", ["no JSON", '{"a": {"pixels": 0, "vectors": 1, "lanes": 1}}', '{"a": 3}'])
def test_a_note_that_cannot_be_read_is_refused(graph, text):
    graph.metadata_props.append(onnx.StringStringEntryProto(key=KEY, value=text))
    with pytest.raises(BuildError, match=rf"the note '{KEY}' of a graph must hold tiles as tuning writes them"):
        tiles_of(graph)
