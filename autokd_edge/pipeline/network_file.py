"""Read a classifier that did not come from a search, as an ONNX graph: one image in, one vector of logits out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from autokd_edge.errors import ModelError
from autokd_edge.pipeline.given_model import fixed_shape, only_input, opset_of, read_graph

OPSET_LEAST = 13  # the first whose quantisers take one scale for each channel
_DOMAINS = {"", "ai.onnx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenNetwork:
    """A graph with its weights inside; ``image`` is (c, h, w)."""

    model: onnx.ModelProto
    input: str
    image: tuple[int, int, int]
    classes: int


def read_network(path: Path, *, opset_max: int) -> GivenNetwork:
    """Read ``MODEL.onnx``, or ``MODEL.pt2`` as torch.export writes it.

    Raises:
        ModelError: there is no such file, it is damaged, a file with weights is missing, an operation is not
            known, a shape is not fixed, or it is no classifier of images; the message names which.
    """
    if path.suffix not in {".onnx", ".pt2"}:
        raise ModelError(f"a model must be a .onnx or a .pt2 file; got '{path.name}'", hint="torch.onnx.export(model, images, 'm.onnx')")
    model = read_graph(path)
    _check_portable(model, path)
    image, classes = _shapes(model, path)
    model = _with_opset(model, path, opset_max)
    for number, node in enumerate(model.graph.node):
        node.name = node.output[0] if node.output else f"node{number}"  # the name by which a layer is kept in float
    return GivenNetwork(model=model, input=only_input(model, path).name, image=image, classes=classes)


def _check_portable(model: onnx.ModelProto, path: Path) -> None:
    """Refuse one vendor's operations: what is compiled here may go to any runtime."""
    foreign = dict.fromkeys(f"'{node.op_type}' of domain '{node.domain}'" for node in model.graph.node if node.domain not in _DOMAINS)
    if foreign:
        raise ModelError(
            f"operations of a model must be ONNX's own; '{path.name}' has {', '.join(foreign)}",
            hint=f"autokd-edge profile {path} takes it; to compile it, export it without them",
        )


def _shapes(model: onnx.ModelProto, path: Path) -> tuple[tuple[int, int, int], int]:
    image = fixed_shape(only_input(model, path), "input", path)
    logits = fixed_shape(model.graph.output[0], "output", path)
    if len(image) != 4 or image[0] != 1 or len(logits) != 2 or logits[0] != 1:
        raise ModelError(
            f"a model must take images (1, c, h, w) and give logits (1, classes); '{path.name}' takes {image} and gives {logits}",
            hint="export it with fixed shapes, batch 1",
        )
    return (image[1], image[2], image[3]), logits[1]


def _with_opset(model: onnx.ModelProto, path: Path, most: int) -> onnx.ModelProto:
    """Bring old graphs to the opset that quantisers need; refuse newer ones than the target reads."""
    version = opset_of(model)
    if version > most:
        raise ModelError(
            f"the opset of a model must be at most {most} for this target; '{path.name}' has {version}",
            hint=f"torch.onnx.export(..., opset_version={most})",
        )
    if version >= OPSET_LEAST:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET_LEAST)
    except Exception as error:  # the converter's own errors are RuntimeErrors of C++
        raise ModelError(
            f"the opset of a model must be at least {OPSET_LEAST}; '{path.name}' has {version} and cannot be converted",
            hint=f"torch.onnx.export(..., opset_version={OPSET_LEAST})",
        ) from error
