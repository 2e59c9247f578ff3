"""Refuse, before a board is troubled, what a version of TensorRT on a chip is known not to build.

Source of opsets and operations: docs/operators.md of onnx-tensorrt, releases 8.0, 8.2-GA, 8.4-GA, 8.6-GA
and 10.0-GA; of 10.13 as targets/jetson-thor.toml says; of 11 NVIDIA's ONNX Opset Guide for TensorRT 11.x.
What passes here may still be refused by trtexec.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from autokd_edge.backends.tensorrt.version import Version, spelt
from autokd_edge.core.target import Target, Variant
from autokd_edge.errors import BuildError, UnsupportedOperationError

# The newest opset that a version and the later ones read.
_OPSETS = (((8, 0, 0), 13), ((8, 4, 0), 17), ((10, 0, 0), 20), ((10, 13, 0), 24), ((11, 0, 0), 25))
_NEVER = frozenset(
    {
        *("BitShift", "Compress", "ConcatFromSequence", "ConvInteger", "Det", "DynamicQuantizeLinear"),
        *("MatMulInteger", "MaxRoiPool", "MaxUnpool", "Multinomial", "NegativeLogLikelihoodLoss", "QLinearConv"),
        *("QLinearMatMul", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
        *("SequenceLength", "SoftmaxCrossEntropyLoss", "SplitToSequence", "StringNormalizer", "TfIdfVectorizer"),
        *("Unique"),
    }
)
_NOT_8_2 = frozenset(
    {
        *("Hardmax", "IsInf", "MeanVarianceNormalization", "Mod", "NonZero", "OneHot", "RandomNormal"),
        *("RandomNormalLike", "Reciprocal", "RoiAlign", "Shrink", "Xor"),
    }
)
_NOT_8_4 = frozenset(
    {
        *("Bernoulli", "GridSample", "HardSwish", "Hardmax", "IsInf", "LayerNormalization"),
        *("MeanVarianceNormalization", "Mod", "NonZero", "OneHot", "Optional", "OptionalGetElement"),
        *("OptionalHasElement", "RandomNormal", "RandomNormalLike", "Reciprocal", "RoiAlign", "Trilu"),
    }
)
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}


def lint(graph: Path, variant: Variant, target: Target, version: Version) -> None:
    """Check an ONNX file for a variant of a target with an installed TensorRT.

    Raises:
        UnsupportedOperationError: an opset, an operation or a precision that is not there.
        BuildError: the file is no ONNX, has a dynamic shape, or is not quantised where it must be.
    """
    try:
        model = onnx.load(graph)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise BuildError(f"a graph must be an ONNX file; '{graph}' is not: {error}") from error
    if not model.graph.node:
        raise BuildError(f"a graph must be an ONNX file with operations; '{graph}' has none")
    lint_quantisers(model, variant, target)
    newest = max((opset for since, opset in _OPSETS if version >= since), default=13)
    opset = max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)
    if opset > newest:
        raise UnsupportedOperationError(f"TensorRT {spelt(version)} reads opsets up to {newest}; the graph uses {opset}")
    missing = _missing(version)
    for node in model.graph.node:
        if node.op_type in missing:
            raise UnsupportedOperationError(f"TensorRT {spelt(version)} has no {node.op_type}; the graph has one at '{node.output[0]}'")
    for value in model.graph.input:
        if any(dim.dim_value < 1 for dim in value.type.tensor_type.shape.dim):
            raise BuildError(f"an engine is built for one shape; input '{value.name}' has a dimension that is open")


def lint_quantisers(model: onnx.ModelProto, variant: Variant, target: Target) -> None:
    """Check what NVIDIA's compilers ask of quantised graphs, and that int8 is asked for where it is.

    Raises:
        UnsupportedOperationError: the chip or TensorRT has no such quantisation.
        BuildError: an int8 variant of a graph without quantisers, or the other way round.
    """
    quantised = [node for node in model.graph.node if node.op_type in _QUANTIZERS]
    if quantised and not target.qdq_allowed:
        capabilities = ", ".join(target.compute_capabilities)
        raise UnsupportedOperationError(
            f"target '{target.name}' (compute capability {capabilities}) has no quantise-dequantise pairs; the graph has {len(quantised)}",
            hint="use its fp16 variant",
        )
    if bool(quantised) is not (variant.precision == "int8"):
        has = f"{len(quantised)} quantise-dequantise nodes" if quantised else "none"
        raise BuildError(f"an int8 engine is built of quantise-dequantise pairs, and only it; variant {variant} got {has}")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in quantised:
        first = constants.get(node.input[0])
        if first is not None and first.data_type == onnx.TensorProto.INT32:
            raise UnsupportedOperationError(f"TensorRT takes no dequantised INT32 bias; the graph has one at '{node.output[0]}'")
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is not None and onnx.numpy_helper.to_array(zero).any():
            raise UnsupportedOperationError(f"TensorRT takes symmetric quantisation alone; '{node.output[0]}' has a zero point")


def _missing(version: Version) -> frozenset[str]:
    if version < (8, 4, 0):
        return _NEVER | _NOT_8_2
    return _NEVER | _NOT_8_4 if version < (8, 5, 0) else _NEVER
