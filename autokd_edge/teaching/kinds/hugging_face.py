"""Classifiers of transformers: a name on the hub, or a folder that ``save_pretrained`` wrote, and how its image processor reads images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from autokd_edge.errors import TeacherError
from autokd_edge.teaching.card import Card, interpolation_of

LEVELS = 255  # of a pixel; processors say how much one level is, cards what all of them are
WARPED = 384  # pixels from which ConvNeXt's processor cuts nothing, whatever its crop_pct


def hugging_face_network(transformers: Any, name: str) -> tuple[nn.Module, Card]:  # noqa: ANN401  a vendor's module
    """Load a classifier from safetensors alone, without code from its folder, in float32.

    Raises:
        TeacherError: there is no such folder, it has no safetensors, or some weights are not in them, so that they would be random.
        OSError: the hub has no such network, or none in safetensors.
    """
    _check_folder(name)
    transformers.utils.logging.disable_progress_bar()
    module, said = transformers.AutoModelForImageClassification.from_pretrained(
        name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    if missing := sorted(said["missing_keys"]):
        raise TeacherError(
            f"teacher 'hf:{name}' must have trained weights for all of its layers; {len(missing)} are missing ({missing[0]} for one)",
            hint="fine-tune it to the classes of the data, and save_pretrained()",
        )
    reads = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False).to_dict()
    module = module.float()  # files may hold halves
    card = _card(reads, module.config)
    return (_BlueFirst(module) if reads.get("do_flip_channel_order") else module), card


def _check_folder(name: str) -> None:
    folder = Path(name)
    if not folder.is_dir():
        if name.startswith(("/", "./", "../")):
            raise TeacherError(f"teacher folder must exist; '{name}' does not", hint="--teacher hf:FOLDER, which save_pretrained() wrote")
        return
    if not any(folder.glob("*.safetensors")):
        raise TeacherError(
            f"teacher 'hf:{name}' must hold its weights as safetensors, because loading a pickle runs its code; the folder has none",
            hint="AutoModelForImageClassification.from_pretrained(FOLDER).save_pretrained(FOLDER), where you trust it",
        )


def _card(reads: Mapping[str, Any], config: Any) -> Card:  # noqa: ANN401  a vendor's class
    """Put what a processor does to a pixel, ``(level * factor - offset - mean) / std``, into units of pixel / 255."""
    channels = int(getattr(config, "num_channels", 3))
    mean, std = [0.0] * channels, [1.0] * channels
    if reads.get("do_normalize", True) and reads.get("image_mean") is not None:
        mean, std = list(reads["image_mean"]), list(reads["image_std"])
    if reads.get("include_top"):  # EfficientNet's, a second division
        std = [a * b for a, b in zip(std, reads["image_std"], strict=True)]
    rescales = reads.get("do_rescale", True)
    scale = LEVELS * (reads["rescale_factor"] if rescales else 1.0)
    offset = 1.0 if rescales and reads.get("rescale_offset") else 0.0
    image, whole = _sizes(reads)
    return Card(
        classes=_classes(config),
        image=(channels, *image),
        mean=tuple((value + offset) / scale for value in mean),
        std=tuple(value / scale for value in std),
        before_crop=None if whole == image else whole,
        interpolation=None if reads.get("resample") is None else interpolation_of(Image.Resampling(reads["resample"]).name.lower()),
    )


def _sizes(reads: Mapping[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return height and width of what the network gets, and of what it is the centre of; a ``crop_size`` may be said and not be used."""
    whole = _edges(reads["size"])
    image = _edges(reads["crop_size"]) if reads.get("do_center_crop") and reads.get("crop_size") else whole
    if reads.get("crop_pct") and min(whole) < WARPED:
        whole = (int(whole[0] / reads["crop_pct"]), int(whole[1] / reads["crop_pct"]))
    return image, whole


def _edges(size: Any) -> tuple[int, int]:  # noqa: ANN401  as the vendor has it
    edges = dict(size)
    return int(edges.get("height") or edges["shortest_edge"]), int(edges.get("width") or edges["shortest_edge"])


def _classes(config: Any) -> tuple[str, ...] | None:  # noqa: ANN401  a vendor's class
    """Return the names of the classes; None where they are those that transformers makes up."""
    names = tuple(str(config.id2label[number]) for number in range(config.num_labels))
    return None if names == tuple(f"LABEL_{number}" for number in range(len(names))) else names


class _BlueFirst(nn.Module):
    """A network that reads blue, green, red."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:  # noqa: ANN401  what transformers wraps its logits in
        """Answer for images ``(b, 3, h, w)`` of red, green and blue."""
        return self.network(images.flip(1))
