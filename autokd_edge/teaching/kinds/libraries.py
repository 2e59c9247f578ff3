"""Teachers from timm, torchvision and transformers, each imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from autokd_edge.core.digest import digest_of_json
from autokd_edge.errors import TeacherError
from autokd_edge.teaching.card import Card
from autokd_edge.teaching.kinds.torch_module import torch_teacher
from autokd_edge.teaching.samples import TeachingData
from autokd_edge.teaching.teacher import Teacher

_PACKAGES = {"timm": "timm", "torchvision": "torchvision", "hf": "transformers"}
LIBRARIES = tuple(_PACKAGES)


def library_teacher(library: str, name: str, data: TeachingData) -> Teacher:
    """Load a pretrained network of a library, ``timm``, ``torchvision`` or ``hf``, with its own preprocessing.

    Raises:
        TeacherError: the library does not import here, has no such network, or its classes are not the data's.
    """
    vendor = _vendor(library)
    makers: dict[str, Callable[[Any, str], tuple[nn.Module, Card]]] = {"timm": _timm, "torchvision": _torchvision, "hf": _hf}
    try:
        module, card = makers[library](vendor, name)
    except Exception as error:  # a hub, a network or a name: each library has errors of its own
        why = str(error).splitlines()[0][:150] if str(error) else ""
        raise TeacherError(f"{vendor.__name__} must have the pretrained network '{name}'; {type(error).__name__}: {why}") from error
    source = digest_of_json([library, name, str(getattr(vendor, "__version__", ""))])
    return torch_teacher(f"{library}:{name}", module.eval(), source, card, data)


def _vendor(library: str) -> Any:  # noqa: ANN401  a module without types
    package = _PACKAGES[library]
    try:
        return import_module(package)
    except ImportError:
        raise TeacherError(
            f"a teacher of {package} needs {package}, which is not installed", hint=f"pip install 'autokd-edge[{package}]'"
        ) from None
    except RuntimeError as error:
        raise TeacherError(
            f"{package} must fit the installed torch; it does not import ({error}): torchvision's operators are missing beside some CPU "
            "builds of torch",
            hint="write the network with torch.export.save and give --teacher FILE.pt2",
        ) from error


def _timm(timm: Any, name: str) -> tuple[nn.Module, Card]:  # noqa: ANN401
    module = timm.create_model(name, pretrained=True)
    said = timm.data.resolve_model_data_config(module)
    return module, Card(
        classes=_texts(module.pretrained_cfg.get("label_names")),
        image=tuple(said["input_size"]),
        mean=tuple(said["mean"]),
        std=tuple(said["std"]),
    )


def _torchvision(torchvision: Any, name: str) -> tuple[nn.Module, Card]:  # noqa: ANN401
    weights = torchvision.models.get_model_weights(name).DEFAULT
    reads = weights.transforms()
    side = int(reads.crop_size[0])
    card = Card(classes=_texts(weights.meta.get("categories")), image=(3, side, side), mean=tuple(reads.mean), std=tuple(reads.std))
    return torchvision.models.get_model(name, weights=weights), card


def _hf(transformers: Any, name: str) -> tuple[nn.Module, Card]:  # noqa: ANN401
    module = transformers.AutoModelForImageClassification.from_pretrained(name)
    reads = transformers.AutoImageProcessor.from_pretrained(name)
    size = getattr(reads, "crop_size", None) or reads.size
    height, width = (size[key] if key in size else size["shortest_edge"] for key in ("height", "width"))
    names = tuple(str(module.config.id2label[number]) for number in range(module.config.num_labels))
    return module, Card(
        classes=names, image=(len(reads.image_mean), height, width), mean=tuple(reads.image_mean), std=tuple(reads.image_std)
    )


def _texts(names: Any) -> tuple[str, ...] | None:  # noqa: ANN401
    return None if names is None else tuple(str(name) for name in names)
