"""Teachers as safetensors files: float16 weights, with the layer graph and the classes in the metadata.

A teacher is a layer graph like any student, so the same lowering puts it on the device, and nothing
of its owner's code is run to load it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import Digest, digest_of_file
from autokd_edge.core.student import StudentSpec, parameter_shapes
from autokd_edge.errors import TeacherError
from autokd_edge.students.lower_torch import SpecNetwork, torch_from_spec
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.weights import write_arrays

FORMAT = "autokd-edge-teacher-1"
PREPROCESSING_TOLERANCE = 1e-4  # 0.03 of a grey level: no network tells these apart


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherCard:
    """What a teacher's file says of itself; ``mean`` and ``std`` are its preprocessing, in pixel / 255."""

    data: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spec: StudentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A loaded teacher: its card, its arrays in float32 and the digest of its file."""

    name: str
    card: TeacherCard
    arrays: Mapping[str, Tensor]
    digest: Digest

    def network(self) -> SpecNetwork:
        """Return the teacher as a torch module in evaluation mode."""
        network = torch_from_spec(self.card.spec)
        network.load_arrays(self.arrays)
        return network.eval()


def load_teacher(name: str, data: TeachingData) -> Teacher:
    """Load ``example:NAME`` or ``FILE.safetensors`` and check that it fits the data set.

    Raises:
        TeacherError: no such teacher, a damaged file, other classes or another image shape.
    """
    path = _path(name)
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            arrays = {key: stream.get_tensor(key).float() for key in stream.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise TeacherError(f"teacher '{name}' is not a readable safetensors file ({error})") from error
    card = _card(name, metadata)
    expected = parameter_shapes(card.spec)
    if {key: tuple(value.shape) for key, value in arrays.items()} != expected:
        raise TeacherError(f"teacher '{name}' must hold the {len(expected)} arrays of its layer graph; its arrays differ")
    if card.classes != data.classes:
        raise TeacherError(
            f"teacher and data must have the same classes; '{name}' knows {_listed(card.classes)}, "
            f"'{data.name}' has {_listed(data.classes)}"
        )
    if card.spec.classes != len(card.classes):
        raise TeacherError(f"teacher '{name}' must give a logit for each of its {_listed(card.classes)}; it gives {card.spec.classes}")
    if card.spec.input != data.image:
        raise TeacherError(f"teacher and data must have one image shape; '{name}' reads {card.spec.input}, '{data.name}' is {data.image}")
    if not _same((*card.mean, *card.std), (*data.mean, *data.std)):
        raise TeacherError(
            f"teacher and data must have one preprocessing, (pixel / 255 - mean) / std; '{name}' was trained with "
            f"{card.mean}, {card.std}, '{data.name}' has {data.mean}, {data.std}"
        )
    return Teacher(name=name, card=card, arrays=arrays, digest=digest_of_file(path))


def write_teacher(path: Path, spec: StudentSpec, arrays: Mapping[str, Tensor], data: TeachingData) -> None:
    """Write a teacher's file; weights are rounded to float16."""
    card = TeacherCard(data=data.name, classes=data.classes, mean=data.mean, std=data.std, spec=spec)
    metadata = {"format": FORMAT, "card": json.dumps(encode(card))}
    write_arrays(path, {key: value.half().contiguous() for key, value in arrays.items()}, metadata)


def example_teachers() -> tuple[str, ...]:
    """Names of the teachers that ship with the package."""
    folder = resources.files("autokd_edge.teaching").joinpath("examples")
    return tuple(sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".safetensors")))


def _path(name: str) -> Path:
    kind, _, example = name.partition(":")
    if kind == "example":
        if example not in example_teachers():
            known = ", ".join(f"example:{e}" for e in example_teachers())
            raise TeacherError(f"example teacher must be one of {known}; got '{name}'")
        return Path(str(resources.files("autokd_edge.teaching").joinpath("examples", f"{example}.safetensors")))
    path = Path(name)
    if path.suffix in {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin"}:
        raise TeacherError(
            f"a teacher must not be a pickle, because loading one runs its code; got '{name}'",
            hint="write it with autokd_edge.teaching.teachers.write_teacher",
        )
    if path.suffix != ".safetensors":
        raise TeacherError(f"teacher must be example:NAME or FILE.safetensors; got '{name}'", hint="--teacher example:fashion-mnist")
    if not path.is_file():
        raise TeacherError(f"teacher file must exist; '{name}' does not")
    return path


def _card(name: str, metadata: Mapping[str, str]) -> TeacherCard:
    if metadata.get("format") != FORMAT or "card" not in metadata:
        raise TeacherError(f"teacher '{name}' must be of format {FORMAT}; its file says '{metadata.get('format', 'nothing')}'")
    try:
        return decode(TeacherCard, json.loads(metadata["card"]))
    except (CodecError, json.JSONDecodeError) as error:
        raise TeacherError(f"teacher '{name}' has a damaged card: {error}") from error


def _same(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    return len(ours) == len(theirs) and all(abs(a - b) <= PREPROCESSING_TOLERANCE for a, b in zip(ours, theirs, strict=True))


def _listed(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:3])
    return f"{len(classes)} classes ({shown}{', ...' if len(classes) > 3 else ''})"
