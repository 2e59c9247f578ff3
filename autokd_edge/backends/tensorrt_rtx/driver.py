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
_NO_DRIVER = "cudaError 35"
# They hold constants or move data: no arithmetic.
_NO_KERNELS = {"CONSTANT", "SHUFFLE", "SHAPE", "CAST", "QUANTIZE", "DEQUANTIZE", "IDENTITY", "CONCATENATION", "GATHER", "SLICE"}


def build(request: Request) -> dict[str, Any]:
    """Build the ONNX file ``graph`` for ``compute_capabilities`` and write ``out``, in one step or not at all.

    Answers with what can be seen without a GPU, the network's layers by the type that they read; or with
    what the compiler ``refused``.
    """
    import tensorrt_rtx

    vendor: Vendor = tensorrt_rtx
    logger = _listener(vendor)
    builder = vendor.Builder(logger)
    network, config = builder.create_network(0), builder.create_builder_config()
    parser = vendor.OnnxParser(network, logger)
    if not parser.parse(_graph(request)):
        return {"refused": "; ".join(_refusal(parser.get_error(i)) for i in range(parser.num_errors))}
    config.clear_flag(vendor.BuilderFlag.TF32)  # it is no fp32
    capabilities = request["compute_capabilities"]
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        config.set_compute_capability(getattr(vendor.ComputeCapability, "SM" + capability.replace(".", "")), index)
    layers = _layers(network)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return {"refused": logger.said[-1] if logger.said else "no engine, and no word why"}
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


def _listener(vendor: Vendor) -> Vendor:
    """Make the one logger that a process may have; it keeps the errors that are not about the driver that is not here."""

    class Listener(vendor.ILogger):  # type: ignore[misc]  # the vendor's class has no type
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []

        def log(self, severity: Vendor, message: str) -> None:
            if severity in {vendor.Logger.ERROR, vendor.Logger.INTERNAL_ERROR} and _NO_DRIVER not in message:
                self.said.append(message)

    return Listener()


def _refusal(error: Vendor) -> str:
    """Say what the parser refused, and where."""
    return f"{error.desc().strip()} (operation {error.node_operator()} at '{error.node_name()}')"


def _graph(request: Request) -> bytes:
    data = Path(request["graph"]).read_bytes()
    if request["precision"] != "fp16":
        return data
    import onnx
    from onnxruntime.transformers import float16

    tools: Vendor = float16
    model = tools.convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    half: bytes = model.SerializeToString(deterministic=True)
    return half


def _layers(network: Vendor) -> dict[str, int]:
    """Count the layers that compute by the type of what they read; behind a dequantiser that is i8."""
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    dequantised = {layer.get_output(0).name for layer in layers if layer.type.name == "DEQUANTIZE"}
    kernels = [layer for layer in layers if layer.type.name not in _NO_KERNELS and layer.num_inputs]
    return dict(Counter("i8" if layer.get_input(0).name in dequantised else _datatype(layer.get_input(0)) for layer in kernels))


def _datatype(tensor: Vendor) -> str:
    name: str = tensor.dtype.name
    return _DATATYPES.get(name, name.lower())
