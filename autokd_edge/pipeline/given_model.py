"""Read a user's model whole, and refuse in one sentence what no engine of ours can take.

The laws: one file of ONNX with its external data beside it, or of torch.export; operations that ONNX
knows; one float32 input and one output, both of a fixed shape. What is left for a runtime to refuse is
that runtime's typed failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, external_data_helper

from autokd_edge.core.digest import Digest, digest_of_bytes
from autokd_edge.errors import ModelError
from autokd_edge.pipeline.torch_program import exported

_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
# ONNX's own domains; "com.microsoft" is ONNX Runtime's, whose schemas only that runtime has.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_VENDOR_DOMAINS = ("com.microsoft",)
_EXPORT = 'torch.onnx.export(network, image, "model.onnx") writes one, torch.export.save a .pt2'
_MOST_BYTES = 2**31 - 1  # a protobuf message is no larger


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenModel:
    """A model that engines can be built of; ``path`` holds it whole, weights inside."""

    path: Path
    digest: Digest
    opset: int
    input_name: str
    input_shape: tuple[int, ...]
    quantized: bool  # holds quantise or dequantise operations


def read_model(source: Path, out: Path) -> GivenModel:
    """Check a model and write it, external data inside, to ``out``.

    Raises:
        ModelError: the file is missing, is no model, lacks its external data, or breaks a law of the module.
    """
    model = read_graph(source)
    data = model.SerializeToString(deterministic=True)
    out.write_bytes(data)
    only = only_input(model, source)
    return GivenModel(
        path=out,
        digest=digest_of_bytes(data),
        opset=opset_of(model),
        input_name=only.name,
        input_shape=fixed_shape(only, "input", source),
        quantized=any(node.op_type in _QUANTIZERS for graph in _graphs(model.graph) for node in graph.node),
    )


def read_graph(source: Path) -> onnx.ModelProto:
    """Return the checked graph of ``MODEL.onnx``, or of ``MODEL.pt2`` as torch.export writes it, weights inside.

    Raises:
        ModelError: as ``read_model``.
    """
    model = _parsed(source)
    _load_external(model, source)
    _check_operations(model, source)
    fixed_shape(only_input(model, source), "input", source)
    _check_output(model, source)
    _check_valid(model, source)
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operations that a graph uses; 0 where it names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)


def _parsed(source: Path) -> onnx.ModelProto:
    if source.suffix == ".pt2" and source.exists():
        return exported(source)
    try:
        model = onnx.load_model(source, load_external_data=False)
    except FileNotFoundError:
        raise ModelError(f"a model must be an ONNX file or a torch.export program; there is no '{source}'", hint=_EXPORT) from None
    except OSError as error:
        raise ModelError(f"model '{source}' cannot be read: {error.strerror}", hint=f"ls -l {source}") from error
    except DecodeError as error:
        raise ModelError(f"a model must be an ONNX file; '{source}' is something else", hint=_EXPORT) from error
    if not model.HasField("graph") or not model.graph.node or not model.opset_import:
        raise ModelError(f"a model must be an ONNX file with a graph; '{source}' has none", hint=_EXPORT)
    return model


def _load_external(model: onnx.ModelProto, source: Path) -> None:
    """Take the external data inside, so that one file is the whole network."""
    total = 0
    for tensor in _tensors(model.graph):
        if not external_data_helper.uses_external_data(tensor):
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        where = entries.get("location", "")
        path = source.parent / where
        if not where or not path.resolve().is_relative_to(source.parent.resolve()):
            raise ModelError(
                f"external data of a model must lie beside it; tensor '{tensor.name}' of '{source}' names '{where}'",
                hint='torch.onnx.export(network, image, "model.onnx", external_data=False) writes the weights inside',
            )
        if not path.is_file():
            raise ModelError(f"model '{source}' keeps tensor '{tensor.name}' in '{path}', which is not there", hint="copy that file too")
        needed = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        if path.stat().st_size < needed:
            raise ModelError(
                f"external data '{path}' must have {needed:,} bytes for tensor '{tensor.name}'; it has {path.stat().st_size:,}",
                hint="copy that file again",
            )
        total += int(entries.get("length", path.stat().st_size))
        if total > _MOST_BYTES:
            raise ModelError(
                f"a model must have at most {_MOST_BYTES:,} bytes with its weights; '{source}' has more",
                hint="autokd-edge search --teacher FILE.pt2 --data NAME finds a small student of it",
            )
        external_data_helper.load_external_data_for_tensor(tensor, str(source.parent))
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _check_operations(model: onnx.ModelProto, source: Path) -> None:
    opsets = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    if opsets.get("", 0) > newest:
        raise ModelError(f"a model must use opset {newest} or older; '{source}' uses {opsets['']}", hint="export it with an older opset")
    functions = {(function.domain, function.name) for function in model.functions}
    for node in (node for graph in _graphs(model.graph) for node in graph.node):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain in _VENDOR_DOMAINS or (domain, node.op_type) in functions:
            continue
        version, operation = opsets.get(domain, 0), str(node.op_type)  # of a damaged file it may be bytes that are no text
        if domain not in _DOMAINS or not onnx.defs.has(operation, max_inclusive_version=version, domain=domain):
            of = f"domain '{domain}'" if domain else f"opset {version}"
            raise ModelError(
                f"every operation of a model must be one of ONNX; '{source}' has {operation} of {of} at '{node.name}'",
                hint="export it with torch.onnx.export and ONNX's own operations",
            )


def only_input(model: onnx.ModelProto, source: Path) -> onnx.ValueInfoProto:
    """Return the one float32 input; raises ModelError where there are others."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{value.name}'" for value in inputs) or "none"
        raise ModelError(
            f"a model must have one input; '{source}' has {len(inputs)}: {names}",
            hint="export the part of the network from one image to the logits",
        )
    kind = inputs[0].type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        said = TensorProto.DataType.Name(kind).lower()
        raise ModelError(
            f"a model's input must be float32; '{inputs[0].name}' of '{source}' is {said}",
            hint='torch.onnx.export(network.float(), image.float(), "model.onnx")',
        )
    found: onnx.ValueInfoProto = inputs[0]
    return found


def _check_output(model: onnx.ModelProto, source: Path) -> None:
    outputs = model.graph.output
    if len(outputs) != 1:
        names = ", ".join(f"'{value.name}'" for value in outputs) or "none"
        raise ModelError(
            f"a model must have one output; '{source}' has {len(outputs)}: {names}",
            hint="export the part of the network from one image to the logits",
        )
    if outputs[0].type.tensor_type.HasField("shape"):
        fixed_shape(outputs[0], "output", source)


def fixed_shape(value: onnx.ValueInfoProto, what: str, source: Path) -> tuple[int, ...]:
    """Return the shape of an input or an output; raises ModelError where it is not fixed."""
    dims = value.type.tensor_type.shape.dim
    if not dims or any(not dim.HasField("dim_value") or dim.dim_value < 1 for dim in dims):
        said = ", ".join(str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims)
        fixed = ",".join(str(dim.dim_value) if dim.HasField("dim_value") else "1" for dim in dims)
        raise ModelError(
            f"a model's {what} must have a fixed shape; '{value.name}' of '{source}' has ({said})",
            hint=f"python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name {value.name} --input_shape {fixed} {source} fixed.onnx"
            if what == "input"
            else "fix the shape of its input",
        )
    return tuple(dim.dim_value for dim in dims)


def _check_valid(model: onnx.ModelProto, source: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, UnicodeError) as error:  # the latter where a name is no text
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise ModelError(f"model '{source}' must be valid ONNX; {reason}", hint="export it again, with an older opset say") from error


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for inner in _graphs(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
