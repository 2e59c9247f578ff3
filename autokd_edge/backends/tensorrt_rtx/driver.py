"""TensorRT-RTX's part of the device program: build ahead of time. Standard library, onnx and tensorrt_rtx only.

Networks run in the types of their graph, so an fp16 engine is built of a graph in fp16, whose input and
logits stay float32. No driver and no GPU is needed to build; to load an engine, both are.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from pathlib import Path
from typing import Any

Vendor = Any  # objects of TensorRT's and ONNX's, which have no types
Request = dict[str, Any]

# In the words of our readings.
_DATATYPES = {"FLOAT": "f32", "HALF": "f16", "INT8": "i8", "UINT8": "u8", "INT32": "i32", "INT64": "i64", "BF16": "bf16"}
# They hold constants or move data: no arithmetic.
_NO_KERNELS = {"CONSTANT", "SHUFFLE", "SHAPE", "CAST", "QUANTIZE", "DEQUANTIZE", "IDENTITY", "CONCATENATION", "GATHER", "SLICE"}


def build(request: Request) -> dict[str, Any]:
    """Build the ONNX file ``graph`` for ``compute_capabilities`` and write ``out``, in one step or not at all.

    Answers with what can be seen without a GPU: the network's layers by the type that they read.
    """
    import tensorrt_rtx

    vendor: Vendor = tensorrt_rtx
    builder = vendor.Builder(vendor.Logger(vendor.Logger.ERROR))
    network, config = builder.create_network(0), builder.create_builder_config()
    parser = vendor.OnnxParser(network, vendor.Logger(vendor.Logger.ERROR))
    if not parser.parse(_graph(request)):
        raise ValueError("; ".join(parser.get_error(i).desc().strip() for i in range(parser.num_errors)))
    config.clear_flag(vendor.BuilderFlag.TF32)  # it is no fp32
    capabilities = request["compute_capabilities"]
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        config.set_compute_capability(getattr(vendor.ComputeCapability, "SM" + capability.replace(".", "")), index)
    layers = _layers(network)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ValueError("TensorRT-RTX built no engine; its lines above say why")
    part = Path(request["out"] + ".part")
    try:
        part.write_bytes(plan)
        part.replace(request["out"])
    finally:
        part.unlink(missing_ok=True)
    return {"layers": layers}


def toolchain() -> dict[str, str]:
    """Return the version of TensorRT-RTX."""
    return {"tensorrt_rtx_cu13": importlib.metadata.version("tensorrt_rtx_cu13")}


def _graph(request: Request) -> bytes:
    data = Path(request["graph"]).read_bytes()
    if request["precision"] != "fp16":
        return data
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Vendor = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    half: bytes = model.SerializeToString(deterministic=True)
    return half


def _layers(network: Vendor) -> dict[str, int]:
    """Count the layers that compute by the type of what they read; behind a dequantiser that is i8."""
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    dequantised = {layer.get_output(0).name for layer in layers if layer.type.name == "DEQUANTIZE"}
    kernels = [layer for layer in layers if layer.type.name not in _NO_KERNELS and layer.num_inputs]
    return dict(Counter("i8" if layer.get_input(0).name in dequantised else _datatype(layer.get_input(0)) for layer in kernels))


def _datatype(tensor: Vendor) -> str:
    return _DATATYPES.get(tensor.dtype.name, tensor.dtype.name.lower())
