"""Teachers by the name that people give them on the command line."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from autokd_edge.errors import TeacherError
from autokd_edge.teaching.kinds.layer_graph import file_teacher
from autokd_edge.teaching.kinds.libraries import LIBRARIES, library_teacher
from autokd_edge.teaching.kinds.onnx_file import onnx_teacher
from autokd_edge.teaching.kinds.torch_module import function_teacher, pt2_teacher
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Teacher

NONE = "none"  # teach from labels alone
KINDS = (
    "example:NAME",
    "FILE.safetensors",
    "FILE.onnx",
    "FILE.pt2",
    "FILE.py:function",
    "timm:NAME",
    "torchvision:NAME",
    "hf:NAME",
    NONE,
)
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin"}


def load_teacher(name: str, data: TeachingData) -> Teacher:
    """Load one of ``KINDS`` but the last, and check that it fits the data set.

    Raises:
        TeacherError: no such teacher, a damaged file, a pickle, other classes, or images that it cannot read.
    """
    kind, colon, rest = name.rpartition(":")
    if name.startswith("example:"):
        return file_teacher(_example(name), data, name=name)
    if name.partition(":")[0] in LIBRARIES and name.partition(":")[2]:
        library, _, network = name.partition(":")
        return library_teacher(library, network, data)
    if colon and kind.endswith(".py") and rest.isidentifier():
        return function_teacher(Path(kind), rest, data)
    path = Path(name)
    if path.suffix in PICKLES:
        raise TeacherError(
            f"a teacher must not be a pickle, because loading one runs its code; got '{name}'",
            hint="write it as ONNX, with torch.export.save, or with autokd_edge.teaching.kinds.layer_graph.write_teacher",
        )
    if path.suffix not in {".safetensors", ".onnx", ".pt2"}:
        raise TeacherError(f"teacher must be {', '.join(KINDS[:-1])} or {NONE}; got '{name}'", hint="--teacher example:fashion-mnist")
    if not path.is_file():
        raise TeacherError(f"teacher file must exist; '{name}' does not", hint="--teacher example:fashion-mnist, or the path of your file")
    if path.suffix == ".onnx":
        return onnx_teacher(path, data)
    return pt2_teacher(path, data) if path.suffix == ".pt2" else file_teacher(path, data, name=name)


def example_teachers() -> tuple[str, ...]:
    """Names of the teachers that ship with the package."""
    folder = resources.files("autokd_edge.teaching").joinpath("examples")
    return tuple(sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".safetensors")))


def _example(name: str) -> Path:
    example = name.removeprefix("example:")
    if example not in example_teachers():
        known = ", ".join(f"example:{e}" for e in example_teachers())
        near = difflib.get_close_matches(example, example_teachers(), n=1, cutoff=0.4) or example_teachers()
        raise TeacherError(f"example teacher must be one of {known}; got '{name}'", hint=f"--teacher example:{near[0]}")
    return Path(str(resources.files("autokd_edge.teaching").joinpath("examples", f"{example}.safetensors")))
