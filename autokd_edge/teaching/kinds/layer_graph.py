"""Teachers as safetensors files: float16 weights, with the layer graph and the classes in the metadata.

Such a teacher is a layer graph like any student, so the same lowering puts it on the device, and
nothing of its owner's code is run to load it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import digest_of_file, digest_of_json
from autokd_edge.core.student import StudentSpec, parameter_shapes
from autokd_edge.errors import TeacherError
from autokd_edge.students.cost import cost_of
from autokd_edge.students.lower_onnx import onnx_from_spec
from autokd_edge.students.lower_torch import SpecNetwork, torch_from_spec
from autokd_edge.teaching.arithmetic import fast_arithmetic, teaching_device
from autokd_edge.teaching.bridge import Bridge, Reads, bridged_graph, reads_of
from autokd_edge.teaching.card import check_classes
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Answers, Teacher
from autokd_edge.teaching.weights import write_arrays

FORMAT = "autokd-edge-teacher-1"
_AS_ONNX = 'torch.onnx.export(network, images, "teacher.onnx"), then --teacher teacher.onnx'
_WRITTEN = "copy the file again, or write it anew by autokd_edge.teaching.kinds.layer_graph.write_teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherCard:
    """What a teacher's file says of itself; ``mean`` and ``std`` are its preprocessing, in pixel / 255."""

    data: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spec: StudentSpec


def file_teacher(path: Path, data: TeachingData, *, name: str) -> Teacher:
    """Load ``FILE.safetensors`` and check that it fits the data set.

    Raises:
        TeacherError: a damaged file, or other classes.
    """
    card, arrays = _read(path, name)
    check_classes(name, card.classes, card.spec.classes, data)
    try:
        reads = Reads(image=card.spec.input, mean=card.mean, std=card.std)
    except ValueError as error:
        raise TeacherError(f"teacher '{name}' has a damaged card: {error}", hint=_WRITTEN) from error
    return layer_graph_teacher(card.spec, arrays, name=name, reads=reads, data=data, digest=digest_of_file(path))


def layer_graph_teacher(
    spec: StudentSpec, arrays: Mapping[str, Tensor], *, name: str, reads: Reads, data: TeachingData, digest: str
) -> Teacher:
    """Make a teacher of layers and their arrays; ``digest`` names both. Raises TeacherError where it cannot read the data's images."""
    bridge = Bridge(reads_of(data), reads, name=name)

    def write(out: Path) -> None:
        weights = {key: value.numpy() for key, value in arrays.items()}
        graph = bridged_graph(onnx_from_spec(spec, weights), bridge, reads_of(data))
        out.write_bytes(graph.SerializeToString(deterministic=True))

    return Teacher(
        name=name,
        digest=digest_of_json(["layers", digest, reads.image, reads.mean, reads.std]),
        classes=spec.classes,
        answers=lambda: _answers(bridge, _network(spec, arrays)),
        write_graph=write,
        cost=cost_of(spec),
        spec=spec,
        layers=lambda: (bridge, _network(spec, arrays)),
    )


def write_teacher(path: Path, spec: StudentSpec, arrays: Mapping[str, Tensor], data: TeachingData) -> None:
    """Write a teacher's file; weights are rounded to float16."""
    card = TeacherCard(data=data.name, classes=data.classes, mean=data.mean, std=data.std, spec=spec)
    metadata = {"format": FORMAT, "card": json.dumps(encode(card))}
    write_arrays(path, {key: value.half().contiguous() for key, value in arrays.items()}, metadata)


def _network(spec: StudentSpec, arrays: Mapping[str, Tensor]) -> SpecNetwork:
    network = torch_from_spec(spec)
    network.load_arrays(arrays)
    network.eval()
    return network.laid_out(torch.channels_last)


def _answers(bridge: Bridge, network: SpecNetwork) -> Answers:
    device = teaching_device()
    bridge, network = bridge.to(device), network.to(device)

    @torch.no_grad()
    def answer(images: Tensor) -> Tensor:
        with fast_arithmetic(device):
            logits: Tensor = network(bridge(images.to(device)).contiguous(memory_format=torch.channels_last))
        return logits.float().cpu()

    return answer


def _read(path: Path, name: str) -> tuple[TeacherCard, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            arrays = {key: stream.get_tensor(key).float() for key in stream.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise TeacherError(f"teacher '{name}' is not a readable safetensors file ({error})", hint=_WRITTEN) from error
    card = _card(name, metadata)
    expected = parameter_shapes(card.spec)
    if {key: tuple(value.shape) for key, value in arrays.items()} != expected:
        raise TeacherError(f"teacher '{name}' must hold the {len(expected)} arrays of its layer graph; its arrays differ", hint=_WRITTEN)
    return card, arrays


def _card(name: str, metadata: Mapping[str, str]) -> TeacherCard:
    if metadata.get("format") != FORMAT or "card" not in metadata:
        raise TeacherError(
            f"teacher '{name}' must be of format {FORMAT}; its file says '{metadata.get('format', 'nothing')}'", hint=_AS_ONNX
        )
    try:
        return decode(TeacherCard, json.loads(metadata["card"]))
    except (CodecError, json.JSONDecodeError) as error:
        raise TeacherError(f"teacher '{name}' has a damaged card: {error}", hint=_WRITTEN) from error
