"""The tiles that a board chose, kept in the ONNX graph itself: from one graph always the same engine is built.

A graph's own metadata hold them by workload. What builds for another processor, or with another TVM, knows other workloads and
takes the rule's tiles; so does every other runtime, which reads no such note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from autokd_edge.backends.tvm.tiles import Tile
from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.errors import BuildError

KEY = "autokd.tvm.tiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    tiles: dict[str, Tile]  # by workload


def tiles_of(model: onnx.ModelProto) -> Mapping[str, Tile]:
    """Return the tiles that a graph notes, by workload; raises BuildError where the note cannot be read."""
    texts = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not texts:
        return {}
    try:
        return decode(_Note, {"tiles": json.loads(texts[-1])}).tiles
    except (CodecError, ValueError) as error:
        raise BuildError(f"the note '{KEY}' of a graph must hold tiles as tuning writes them; {error}") from error


def noted(model: onnx.ModelProto, tiles: Mapping[str, Tile]) -> onnx.ModelProto:
    """Return a copy of a graph with these tiles noted, in place of any others; with none it has no note."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    others = [entry for entry in copy.metadata_props if entry.key != KEY]
    del copy.metadata_props[:]
    copy.metadata_props.extend(others)
    if tiles:
        text = json.dumps(encode(_Note(tiles=dict(sorted(tiles.items()))))["tiles"])
        copy.metadata_props.append(onnx.StringStringEntryProto(key=KEY, value=text))
    return copy
