"""Teachers from timm, torchvision and transformers, each imported only when it is asked for."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from autokd_edge.core.digest import digest_of_json
from autokd_edge.errors import TeacherError
from autokd_edge.teaching.card import Card, interpolation_of
from autokd_edge.teaching.kinds.hugging_face import hugging_face_network
from autokd_edge.teaching.kinds.reachable_hub import cache_where_unreachable
from autokd_edge.teaching.kinds.torch_module import torch_teacher
from autokd_edge.teaching.kinds.torchvision_import import import_torchvision_if_there
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Teacher

_PACKAGES = {"timm": "timm", "torchvision": "torchvision", "hf": "transformers"}
LIBRARIES = tuple(_PACKAGES)
_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # read by torch.load


def library_teacher(library: str, name: str, data: TeachingData) -> Teacher:
    """Load a pretrained network of a library, ``timm``, ``torchvision`` or ``hf``, with its own preprocessing.

    Raises:
        TeacherError: the library does not import here, has no such network, or its classes are not the data's.
    """
    vendor = _vendor(library)
    makers: dict[str, Callable[[Any, str], tuple[nn.Module, Card]]] = {
        "timm": _timm,
        "torchvision": _torchvision,
        "hf": hugging_face_network,
    }
    try:
        with _weights_only(), nullcontext() if _is_here(name) else cache_where_unreachable():
            module, card = makers[library](vendor, name)
    except TeacherError:
        raise
    except Exception as error:  # a hub, a network or a name: each library has errors of its own
        raise _without(library, vendor, name, error) from error
    if _is_wordnet(data.classes):
        card = replace(card, classes=None)
    source = digest_of_json([library, name, str(getattr(vendor, "__version__", ""))])
    return torch_teacher(f"{library}:{name}", module.eval(), source, card, data)


def _vendor(library: str) -> Any:  # noqa: ANN401  a module without types
    package = _PACKAGES[library]
    try:
        import_torchvision_if_there()  # timm and transformers import it too
        return import_module(package)
    except ImportError:
        raise TeacherError(
            f"a teacher of {package} needs {package}, which is not installed", hint=f"pip install 'autokd-edge[{package}]'"
        ) from None
    except RuntimeError as error:
        raise TeacherError(
            f"{package} must fit the installed torch; it does not import ({error})",
            hint="install the release that fits, or write the network with torch.export.save and give --teacher FILE.pt2",
        ) from error


def _is_wordnet(classes: tuple[str, ...]) -> bool:
    """Whether classes are ImageNet's as its folders name them: nobody else does, but their order is everybody's."""
    return all(re.fullmatch(r"n\d{8}", name) for name in classes)


def _is_here(name: str) -> bool:
    return Path(name.removeprefix("local-dir:")).is_dir()


@contextmanager
def _weights_only() -> Iterator[None]:
    """Have torch read checkpoints as weights, running nothing in them, whatever a library asks for: torchvision asks for all."""
    before = os.environ.get(_FORCED)
    os.environ[_FORCED] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCED]
        else:
            os.environ[_FORCED] = before


def _without(library: str, vendor: Any, name: str, error: Exception) -> TeacherError:  # noqa: ANN401  a vendor's module
    """Say why there is no such network, and what helps."""
    if isinstance(error, UnpicklingError) or isinstance(error.__cause__, UnpicklingError):
        return TeacherError(
            f"teacher '{library}:{name}' must come as weights alone; its file is a pickle of more, which would run code to be loaded",
            hint="write its state_dict() with safetensors, or the network as ONNX",
        )
    why = str(error).strip().splitlines()[0][:200].rstrip(".") if str(error).strip() else ""
    hints = {
        "timm": "timm.list_pretrained() names them; where no network is to be had, --teacher timm:local-dir:FOLDER",
        "torchvision": "torchvision.models.list_models() names them; where no network is to be had, put the file of its weights into "
        f"{torch.hub.get_dir()}/checkpoints",
        "hf": "where a network is to be had, hf download NAME --local-dir FOLDER; then --teacher hf:FOLDER",
    }
    return TeacherError(f"{vendor.__name__} must have the pretrained network '{name}'; {type(error).__name__}: {why}", hint=hints[library])


def _timm(timm: Any, name: str) -> tuple[nn.Module, Card]:  # noqa: ANN401  a vendor's module
    module = timm.create_model(name, pretrained=True)
    said = timm.data.resolve_model_data_config(module)
    _, height, width = said["input_size"]
    return module, Card(
        classes=_texts(module.pretrained_cfg.get("label_names")),
        image=tuple(said["input_size"]),
        mean=tuple(said["mean"]),
        std=tuple(said["std"]),
        before_crop=None if said["crop_pct"] >= 1 else (math.floor(height / said["crop_pct"]), math.floor(width / said["crop_pct"])),
        interpolation=interpolation_of(said["interpolation"]),
    )


def _torchvision(torchvision: Any, name: str) -> tuple[nn.Module, Card]:  # noqa: ANN401  a vendor's module
    weights = torchvision.models.get_model_weights(name).DEFAULT
    reads = weights.transforms()
    if not hasattr(reads, "crop_size"):
        raise TeacherError(
            f"teacher 'torchvision:{name}' must classify images; its weights are for {type(reads).__name__}",
            hint="--teacher torchvision:resnet18",
        )
    side, whole = int(reads.crop_size[0]), int(reads.resize_size[0])
    return torchvision.models.get_model(name, weights=weights), Card(
        classes=_texts(weights.meta.get("categories")),
        image=(3, side, side),
        mean=tuple(reads.mean),
        std=tuple(reads.std),
        before_crop=None if whole <= side else (whole, whole),
        interpolation=interpolation_of(reads.interpolation.value),
    )


def _texts(names: Any) -> tuple[str, ...] | None:  # noqa: ANN401  as the vendor has it
    return None if names is None else tuple(str(name) for name in names)
