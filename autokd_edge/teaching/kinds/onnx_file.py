"""A teacher as an ONNX file, run by ONNX Runtime; no code of its owner is needed."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor

from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.errors import TeacherError
from autokd_edge.teaching.bridge import Bridge, Reads, bridged_graph, reads_of
from autokd_edge.teaching.card import Card, card_beside, check_classes, says_image
from autokd_edge.teaching.onnx_cost import cost_of_graph
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Teacher

_EXPORT = 'torch.onnx.export(teacher, images, "teacher.onnx"), from float32 images (n, c, h, w) to logits (n, classes)'


def onnx_teacher(path: Path, data: TeachingData) -> Teacher:
    """Read ``FILE.onnx``; its card beside it or its own input shape say how it reads images.

    Raises:
        TeacherError: no whole ONNX graph, not one image input in float32, or other classes than the data's.
    """
    model = _load(path)
    card = card_beside(path).or_else(_own_card(model, path))
    reads = card.reads(data, str(path))
    bridge = Bridge(reads_of(data), reads, name=str(path))
    answers = _Session(path, bridge, reads)
    check_classes(str(path), card.classes, answers.classes, data)

    digest = _digest(path, model, reads)
    graph = bridged_graph(model, bridge, reads_of(data))

    def write(out: Path) -> None:
        out.write_bytes(graph.SerializeToString(deterministic=True))

    return Teacher(
        name=path.name, digest=digest, classes=answers.classes, answers=lambda: answers, write_graph=write, cost=cost_of_graph(graph)
    )


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and the checker's errors have no common class
        raise TeacherError(f"teacher '{path}' must be a whole ONNX graph; {str(error).splitlines()[0][:200]}", hint=_EXPORT) from error
    return model


def _own_card(model: onnx.ModelProto, path: Path) -> Card:
    """Read the image shape off the graph's input, as far as it is fixed."""
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    if len(inputs) != 1:
        raise TeacherError(f"teacher '{path}' must have one input, an image; it has {len(inputs)}", hint=_EXPORT)
    tensor = inputs[0].type.tensor_type
    dims = [d.dim_value for d in tensor.shape.dim]
    if len(dims) != 4 or tensor.elem_type != TensorProto.FLOAT or dims[1] not in {0, 1, 3}:
        raise TeacherError(f"teacher '{path}' must read float32 images (n, c, h, w) of 1 or 3 channels; its input is {dims}", hint=_EXPORT)
    return Card(image=(dims[1], dims[2], dims[3])) if all(dims[1:]) else Card()


def _digest(path: Path, model: onnx.ModelProto, reads: Reads) -> Digest:
    """Name the graph with the weights that lie in files beside it."""
    content = hashlib.sha256(path.read_bytes())
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            content.update(tensor.raw_data)
    return digest_of_json(["onnx", content.hexdigest(), *reads.facts])


class _Session:
    """Runs the graph; a graph of batch 1 is asked image by image."""

    def __init__(self, path: Path, bridge: Bridge, reads: Reads) -> None:
        try:
            onnxruntime: Any = import_module("onnxruntime")
        except ImportError:
            raise TeacherError(
                "an ONNX teacher is run with 'onnxruntime', which is not installed", hint="pip install 'autokd-edge[onnxruntime]'"
            ) from None
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0]
            self._bridge = bridge
            probe = self(torch.zeros(1, reads.image[0] // bridge.copies, *bridge.before))
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise TeacherError(
                f"teacher '{path}' must run in ONNX Runtime; {str(error).splitlines()[0][:200]}", hint=says_image(path.stem)
            ) from error
        if probe.ndim != 2:
            raise TeacherError(f"teacher '{path}' must give logits (n, classes) first; it gives {tuple(probe.shape)}", hint=_EXPORT)
        self.classes = probe.shape[1]

    def __call__(self, images: Tensor) -> Tensor:
        values = np.ascontiguousarray(self._bridge(images).numpy())
        fixed = self._input.shape[0] if isinstance(self._input.shape[0], int) else 0
        parts = [values] if fixed != 1 else np.split(values, len(values))
        found = [self._session.run([self._session.get_outputs()[0].name], {self._input.name: part})[0] for part in parts]
        return torch.from_numpy(np.concatenate(found)).float()
