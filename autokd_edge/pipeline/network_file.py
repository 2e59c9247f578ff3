"""Read a network that did not come from a search, as a checked ONNX graph: one image in, one vector of logits out."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from autokd_edge.errors import InputError

OPSET_LEAST = 13  # the first whose quantisers take one scale for each channel
_TORCH_HINT = "pip install 'autokd-edge[compile]'"
_STATIC_HINT = "export it with fixed shapes, batch 1"
_MOST_BYTES = 2**31 - 2**20  # a protobuf message ends at 2 GiB
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
        InputError: there is no such file, it is damaged, a file with weights is missing, an operation is not
            known, a shape is not fixed, or it is no classifier of images; the message names which.
    """
    if not path.is_file():
        raise InputError(f"a model must be a file; '{path}' is none", hint="autokd-edge compile MODEL.onnx --target host --out BUNDLE")
    if path.suffix not in {".onnx", ".pt2"}:
        raise InputError(f"a model must be a .onnx or a .pt2 file; got '{path.name}'", hint="torch.onnx.export(model, images, 'm.onnx')")
    model = _loaded(path) if path.suffix == ".onnx" else _exported(path)
    _check_operations(model, path)
    image, classes = _shapes(model, path)
    model = _with_opset(model, path, opset_max)
    for number, node in enumerate(model.graph.node):
        node.name = node.output[0] if node.output else f"node{number}"  # the name by which a layer is kept in float
    return GivenNetwork(model=model, input=_inputs(model)[0].name, image=image, classes=classes)


def _loaded(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's and ONNX's errors have no common class
        raise InputError(f"a model must be an ONNX graph; '{path}' is none, or damaged", hint="export it again") from error
    if not model.graph.node:
        raise InputError(f"a model must be an ONNX graph; '{path}' has no operations", hint="export it again")
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            facts = {entry.key: entry.value for entry in tensor.external_data}
            _check_external(path, tensor.name, facts.get("location", ""))
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's, the file system's and protobuf's errors have no common class
        said = " ".join(str(error).split())
        if _unknown_operations(model):
            return model  # said by name
        raise InputError(f"a model must be a valid ONNX graph; '{path}' is not: {said[:200]}", hint="export it again") from error
    return model


def _check_external(path: Path, tensor: str, location: str) -> None:
    inside = Path(location)
    if not location or inside.is_absolute() or ".." in inside.parts:
        raise InputError(f"weights of '{path.name}' must lie in files beside it; '{tensor}' is in '{location}'")
    if not (path.parent / inside).is_file():
        raise InputError(f"'{path.name}' keeps its weights in '{location}', which is not there", hint=f"copy '{location}' beside '{path}'")


def _exported(path: Path) -> onnx.ModelProto:
    try:
        import torch
        from onnxscript import __version__ as _  # noqa: F401  torch's exporter needs it and says so too late
    except ImportError as error:
        raise InputError(f"a .pt2 file needs the package '{error.name}'", hint=_TORCH_HINT) from error
    vendor: Any = torch
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = vendor.export.load(path)
    except Exception as error:  # zip, pickle and torch errors: all of them say that the file is no such program
        raise InputError(f"a .pt2 file must be what torch.export.save wrote; '{path}' is not ({type(error).__name__})") from error
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own deprecations
            out = Path(folder) / "model.onnx"
            vendor.onnx.export(program, (), str(out), dynamo=True, external_data=False, verbose=False)
            return onnx.load(out)
    except Exception as error:  # torch's exporter raises nearly anything; all of it says that there is no graph
        reason = error.__cause__ or error  # torch's own text is a page of advice
        said = " ".join(str(reason).split())[:200]
        raise InputError(f"'{path}' must be expressible in ONNX; torch says: {type(reason).__name__}: {said}") from error


def _unknown_operations(model: onnx.ModelProto) -> list[str]:
    versions = {imported.domain: imported.version for imported in model.opset_import}
    found = []
    for node in model.graph.node:
        if node.domain not in _DOMAINS:
            found.append(f"'{node.op_type}' of domain '{node.domain}'")
        elif not onnx.defs.has(node.op_type, max_inclusive_version=versions.get("", versions.get("ai.onnx", 1))):
            found.append(f"'{node.op_type}'")
    return list(dict.fromkeys(found))


def _check_operations(model: onnx.ModelProto, path: Path) -> None:
    unknown = _unknown_operations(model)
    if unknown:
        raise InputError(f"operations of a model must be ONNX's own; '{path.name}' has {', '.join(unknown)}")
    size = model.ByteSize()
    if size > _MOST_BYTES:
        raise InputError(f"a model must be smaller than 2 GiB; '{path.name}' has {size / 2**30:.1f} GiB")


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in constants]


def _shapes(model: onnx.ModelProto, path: Path) -> tuple[tuple[int, int, int], int]:
    inputs, outputs = _inputs(model), list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"a model must have one input and one output; '{path.name}' has {len(inputs)} and {len(outputs)}")
    image, logits = (_shape(one, path) for one in (inputs[0], outputs[0]))
    types = {one.type.tensor_type.elem_type for one in (inputs[0], outputs[0])}
    if types != {TensorProto.FLOAT} or len(image) != 4 or image[0] != 1 or len(logits) != 2 or logits[0] != 1:
        raise InputError(
            f"a model must take float32 images (1, c, h, w) and give logits (1, classes); '{path.name}' takes {image} and gives {logits}",
            hint=_STATIC_HINT,
        )
    return (image[1], image[2], image[3]), logits[1]


def _shape(value: onnx.ValueInfoProto, path: Path) -> tuple[int, ...]:
    shape = []
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if not dim.HasField("dim_value") or dim.dim_value < 1:
            said = f"'{dim.dim_param}'" if dim.dim_param else "not fixed"
            raise InputError(f"shapes must be fixed; dimension {axis} of '{value.name}' in '{path.name}' is {said}", hint=_STATIC_HINT)
        shape.append(dim.dim_value)
    return tuple(shape)


def _with_opset(model: onnx.ModelProto, path: Path, most: int) -> onnx.ModelProto:
    """Bring old graphs to the opset that quantisers need; refuse newer ones than the target reads."""
    version = next((one.version for one in model.opset_import if one.domain in _DOMAINS), 0)
    if version > most:
        raise InputError(
            f"the opset of a model must be at most {most} for this target; '{path.name}' has {version}",
            hint=f"torch.onnx.export(..., opset_version={most})",
        )
    if version >= OPSET_LEAST:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET_LEAST)
    except Exception as error:  # the converter's own errors are RuntimeErrors of C++
        raise InputError(
            f"the opset of a model must be at least {OPSET_LEAST}; '{path.name}' has {version} and cannot be converted",
            hint=f"torch.onnx.export(..., opset_version={OPSET_LEAST})",
        ) from error
