"""Measure what quantising did to each layer of an ONNX graph, and correct biases where that is better.

Runs beside a quantiser, in its process; numpy, onnx and ONNX Runtime only. A layer is a convolution or
a matrix product with weights. Its own noise is found by a copy of it, with its quantisers, that reads
the float network's activations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

Vendor = Any  # ONNX's and ONNX Runtime's objects, and numpy's arrays
LAYERS = ("Conv", "Gemm", "MatMul")
OWN = "own/"  # prefix of the copies
CORRECTED_MOST = 32  # images that biases are corrected by, and as many that judge it
QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}


def explained(float_model: Vendor, made: Vendor, samples: Vendor) -> tuple[Vendor, dict[str, Any]]:
    """Return the quantised model, its biases corrected where its logits are nearer to float so, and the report.

    Layers are told by the names of their nodes: a quantiser may fold a ReLU, and with it the name of a tensor.
    """
    first, second = samples[0 : 2 * CORRECTED_MOST : 2], samples[1 : 2 * CORRECTED_MOST : 2]
    judged = second if len(second) else first
    own = _own_noise(float_model, _Graph(made), first)
    corrected = _with_biases(made, {name: error for name, (_, error) in own.items()})
    plain_db, corrected_db = (_logits_sqnr_db(float_model, model, judged) for model in (made, corrected))
    better = _db(corrected_db) > _db(plain_db)
    chosen = corrected if better else made
    layers = [
        {
            "name": node.name,
            "op": node.op_type,
            "quantized": node.name in own,
            "sqnr_db": chain_db,
            "own_sqnr_db": own[node.name][0] if node.name in own else None,
        }
        for node, chain_db in _chain_noise(float_model, chosen, judged)
    ]
    report = {
        "layers": layers,
        "bias_corrected": better,
        "logits_sqnr_db": corrected_db if better else plain_db,
        "other_logits_sqnr_db": plain_db if better else corrected_db,
    }
    return chosen, report


class _Graph:
    """A model's nodes by what they give, its layers by name, and its constants."""

    def __init__(self, model: Vendor) -> None:
        self.model = model
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.giver = {name: node for node in model.graph.node for name in node.output}
        self.layers = {node.name: node for node in model.graph.node if node.op_type in LAYERS}

    def quantized_layers(self) -> list[Vendor]:
        """Return the layers whose weights come from integers, in order."""
        givers = ((node, self.giver.get(node.input[1])) for node in self.layers.values())
        return [node for node, giver in givers if giver is not None and giver.op_type in QUANTIZERS]


def _own_noise(float_model: Vendor, made: _Graph, samples: Vendor) -> dict[str, tuple[float | None, Vendor]]:
    """Run the float network with a copy of each quantised layer beside it; own SQNR and mean error of each channel."""
    exact_of = {node.name: node.output[0] for node in float_model.graph.node}
    layers = [node for node in made.quantized_layers() if node.name in exact_of]
    if not layers:
        return {}
    outputs = [*(exact_of[node.name] for node in layers), *(OWN + node.output[0] for node in layers)]
    signal, noise, errors, counts = dict[str, float](), dict[str, float](), dict[str, Vendor](), dict[str, int]()
    for values in _runs(_merged(float_model, made, layers), outputs, samples):
        for node, exact, own in zip(layers, values[: len(layers)], values[len(layers) :], strict=True):
            name, error = node.name, exact.astype("f8") - own
            signal[name] = signal.get(name, 0.0) + float((exact.astype("f8") ** 2).sum())
            noise[name] = noise.get(name, 0.0) + float((error**2).sum())
            errors[name] = errors.get(name, 0.0) + error.sum(axis=tuple(axis for axis in range(error.ndim) if axis != 1))
            counts[name] = counts.get(name, 0) + error.size // error.shape[1]
    return {node.name: (_sqnr_db(signal[node.name], noise[node.name]), errors[node.name] / counts[node.name]) for node in layers}


def _merged(float_model: Vendor, made: _Graph, layers: list[Vendor]) -> Vendor:
    """Write the float network and, beside it, each quantised layer reading float activations."""
    import onnx

    merged = onnx.ModelProto()
    merged.CopyFrom(float_model)
    shared = {name for node in float_model.graph.node for name in node.output} | {one.name for one in float_model.graph.input}
    written: set[str] = set()

    def source(name: str) -> str:
        """Return where a copy reads a tensor: the float network's own, or a copied constant or quantiser."""
        if name in shared or not name:
            return name
        if OWN + name not in written:
            written.add(OWN + name)
            if name in made.constants:
                constant = merged.graph.initializer.add()
                constant.CopyFrom(made.constants[name])
                constant.name = OWN + name
            else:
                copy(made.giver[name])
        return OWN + name

    def copy(node: Vendor) -> None:
        inputs = [source(name) for name in node.input]  # before the node: the nodes of a graph are in order
        copied = merged.graph.node.add()
        copied.CopyFrom(node)
        copied.name = OWN + (node.name or node.output[0])
        copied.input[:] = inputs
        copied.output[:] = [OWN + name for name in node.output]

    for node in layers:
        copy(node)
    return merged


def _chain_noise(float_model: Vendor, made: Vendor, samples: Vendor) -> Iterator[tuple[Vendor, float | None]]:
    """Yield each layer of the float network with the SQNR of its output in the quantised one, all noise before it included."""
    constants = {tensor.name for tensor in float_model.graph.initializer}
    there = _Graph(made).layers
    layers = [node for node in float_model.graph.node if node.op_type in LAYERS and node.input[1] in constants and node.name in there]
    powers = {node.name: [0.0, 0.0] for node in layers}
    exactly = _runs(float_model, [node.output[0] for node in layers], samples)
    noisily = _runs(made, [there[node.name].output[0] for node in layers], samples)
    for exact, noisy in zip(exactly, noisily, strict=True):
        for node, a, b in zip(layers, exact, noisy, strict=True):
            powers[node.name][0] += float((a.astype("f8") ** 2).sum())
            powers[node.name][1] += float(((a.astype("f8") - b) ** 2).sum())
    for node in layers:
        yield node, _sqnr_db(*powers[node.name])


def _with_biases(made: Vendor, errors: dict[str, Vendor]) -> Vendor:
    """Return a copy whose layers give back the mean error that they make; layers without a bias of their own stay."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(made)
    graph = _Graph(model)
    for node in graph.quantized_layers():
        if node.name not in errors or len(node.input) < 3:
            continue
        error, name = errors[node.name], node.input[2]
        scale: Vendor = 1.0
        giver = graph.giver.get(name)
        if giver is not None and giver.op_type == "DequantizeLinear" and giver.input[0] in graph.constants:
            name, scale = giver.input[0], numpy_helper.to_array(graph.constants[giver.input[1]]).astype("f8")
        if name in graph.constants:
            bias = numpy_helper.to_array(graph.constants[name])
            step = error / scale
            changed = bias + (np.round(step) if bias.dtype.kind == "i" else step)
            graph.constants[name].CopyFrom(numpy_helper.from_array(changed.astype(bias.dtype), name))
    return model


def _logits_sqnr_db(float_model: Vendor, made: Vendor, samples: Vendor) -> float | None:
    name = float_model.graph.output[0].name
    signal = noise = 0.0
    for (exact,), (noisy,) in zip(_runs(float_model, [name], samples), _runs(made, [name], samples), strict=True):
        signal += float((exact.astype("f8") ** 2).sum())
        noise += float(((exact.astype("f8") - noisy) ** 2).sum())
    return _sqnr_db(signal, noise)


def _runs(model: Vendor, names: list[str], samples: Vendor) -> Iterator[list[Vendor]]:
    """Yield the tensors of these names for each sample; the graph runs as it is written, so that each is there."""
    import onnx
    import onnxruntime

    runtime: Vendor = onnxruntime
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for sample in samples:
        yield session.run(names, {model.graph.input[0].name: sample[None]})


def _sqnr_db(signal: float, noise: float) -> float | None:
    """Return 10 log10(signal / noise), to 0.1 dB; None without noise."""
    return round(10 * math.log10(max(signal, 1e-30) / noise), 1) if noise > 0 else None


def _db(sqnr_db: float | None) -> float:
    return math.inf if sqnr_db is None else sqnr_db
