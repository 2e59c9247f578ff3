"""Teachers from timm, torchvision and transformers as they are installed; their networks have random weights."""

import json
import time
from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from teaching.small import CLASSES, PLAN, small_source

from autokd_edge.errors import TeacherError
from autokd_edge.teaching.bridge import Bridge, reads_of
from autokd_edge.teaching.card import Card
from autokd_edge.teaching.kinds.hugging_face import hugging_face_network
from autokd_edge.teaching.kinds.torchvision_import import import_torchvision_if_there
from autokd_edge.teaching.samples import DataSource, LabelledImages
from autokd_edge.teaching.teachers import load_teacher


def imported(package: str):
    import_torchvision_if_there()
    return import_module(package)


pytestmark = pytest.mark.slow  # these libraries take a second to import
DATA = small_source().teaching()
PIXELS = DATA.train.images[:6]
LEVEL = 1 / 255  # libraries round to whole levels after resizing


def as_students_read(images: np.ndarray, data=DATA) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    return (torch.from_numpy(images) / 255 - mean) / std


def pictures(images: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(np.moveaxis(image.repeat(3 // len(image), 0), 0, -1)) for image in images]


def assert_seen(card: Card, wanted: torch.Tensor) -> None:
    """Check what a teacher of this card sees of the images, to one grey level."""
    seen = Bridge(reads_of(DATA), card.reads(DATA, "t"), name="t")(as_students_read(PIXELS))
    assert seen.shape == wanted.shape
    assert (seen - wanted).abs().max() <= 1.01 * LEVEL / min(card.std)


def write_resnet(folder, classes=CLASSES, **processor) -> None:
    """Write a classifier as ``save_pretrained`` does, with the configuration of an image processor."""
    transformers = imported("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=dict(enumerate(classes))
    )
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    said = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2, **processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))


def answer_of(folder) -> torch.Tensor:
    """Answer for the images by transformers alone."""
    transformers = imported("transformers")
    network = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return network(seen_by(folder)).logits


def seen_by(folder) -> torch.Tensor:
    reads = imported("transformers").AutoImageProcessor.from_pretrained(folder)
    return reads(pictures(PIXELS), return_tensors="pt")["pixel_values"]


def test_a_folder_of_transformers_answers_as_there_and_has_a_graph(tmp_path):
    write_resnet(tmp_path, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    teacher = load_teacher(f"hf:{tmp_path}", DATA)
    wanted = answer_of(tmp_path)
    torch.testing.assert_close(teacher.answers()(as_students_read(PIXELS)), wanted, rtol=0, atol=0.02 * float(wanted.abs().max()))
    assert teacher.write_graph is not None
    assert teacher.cost.parameters > 0


@pytest.mark.parametrize(
    "said",
    [
        {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 30}, "do_center_crop": True},
        {"image_processor_type": "EfficientNetImageProcessor", "crop_size": {"height": 24, "width": 24}, "do_center_crop": False},
        {"image_processor_type": "EfficientNetImageProcessor", "rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0.875},
        {"do_normalize": False},
    ],
    ids=["crop", "crop that is not used", "offset", "share of a crop", "no normalisation"],
)
def test_images_are_prepared_as_the_image_processor_prepares_them(tmp_path, said):
    write_resnet(tmp_path, **{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3], **said})
    _, card = hugging_face_network(imported("transformers"), str(tmp_path))
    assert_seen(card, seen_by(tmp_path))


def test_a_network_that_reads_blue_first_gets_blue_first(tmp_path):
    write_resnet(tmp_path)
    plain, _ = hugging_face_network(imported("transformers"), str(tmp_path))
    write_resnet(tmp_path, image_processor_type="MobileViTImageProcessor", do_flip_channel_order=True)
    flipped, _ = hugging_face_network(imported("transformers"), str(tmp_path))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(flipped.eval()(images).logits, plain.eval()(images.flip(1)).logits)


def test_made_up_names_of_classes_are_none(tmp_path):
    write_resnet(tmp_path, classes=("LABEL_0", "LABEL_1", "LABEL_2"))
    assert load_teacher(f"hf:{tmp_path}", DATA).classes == 3
    write_resnet(tmp_path, classes=("left", "middle", "top"))
    with pytest.raises(TeacherError, match="must have the same classes"):
        load_teacher(f"hf:{tmp_path}", DATA)


def test_a_network_in_halves_answers_in_float32(tmp_path):
    write_resnet(tmp_path)
    whole = load_teacher(f"hf:{tmp_path}", DATA).answers()(as_students_read(PIXELS))
    imported("transformers").AutoModelForImageClassification.from_pretrained(tmp_path).half().save_pretrained(tmp_path)
    torch.testing.assert_close(load_teacher(f"hf:{tmp_path}", DATA).answers()(as_students_read(PIXELS)), whole, rtol=0.02, atol=0.02)


def test_a_folder_that_only_holds_a_pickle_is_refused(tmp_path):
    write_resnet(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        TeacherError, match=r"must hold its weights as safetensors, because loading a pickle runs its code.* Hint: .*save_pretrained"
    ):
        load_teacher(f"hf:{tmp_path}", DATA)


def test_a_network_without_a_trained_head_is_refused(tmp_path):
    write_resnet(tmp_path)
    weights = {key: value for key, value in load_file(tmp_path / "model.safetensors").items() if not key.startswith("classifier")}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(TeacherError, match=r"must have trained weights for all of its layers; 2 are missing \(classifier\.1\.bias for one"):
        load_teacher(f"hf:{tmp_path}", DATA)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(TeacherError, match=r"teacher folder must exist; '.*none' does not. Hint: --teacher hf:FOLDER"):
        load_teacher(f"hf:{tmp_path}/none", DATA)


def write_timm(folder, **reads) -> None:
    timm = imported("timm")
    torch.manual_seed(0)
    said = {"input_size": (3, 32, 32), "test_input_size": None, "interpolation": "bilinear", **reads}
    network = timm.create_model("test_resnet", num_classes=3, pretrained_cfg_overlay=said)
    timm.models.save_for_hf(network, folder, model_config={"label_names": list(CLASSES)}, safe_serialization=True)


@pytest.mark.parametrize(("share", "how"), [(1.0, "bilinear"), (0.875, "bilinear"), (0.875, "bicubic")])
def test_a_folder_of_timm_reads_images_as_there(tmp_path, share, how):
    timm = imported("timm")
    write_timm(tmp_path, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), crop_pct=share, interpolation=how)
    teacher = load_teacher(f"timm:local-dir:{tmp_path}", DATA)
    network = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    prepared = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    with torch.no_grad():
        wanted = network(torch.stack([prepared(picture) for picture in pictures(PIXELS)]))
    torch.testing.assert_close(teacher.answers()(as_students_read(PIXELS)), wanted, rtol=0, atol=0.02 * float(wanted.abs().max()))
    assert teacher.write_graph is not None


class Touches:
    """Writes a file when it is loaded from a pickle."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_a_checkpoint_of_timm_runs_no_code(tmp_path):
    write_timm(tmp_path)
    torch.save({**load_file(tmp_path / "model.safetensors"), "more": Touches(tmp_path / "ran")}, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(TeacherError, match="must come as weights alone; its file is a pickle of more"):
        load_teacher(f"timm:local-dir:{tmp_path}", DATA)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["timm:test_resnet", "hf:a/b"])
def test_where_the_server_does_not_answer_it_is_asked_once(tmp_path, monkeypatch, name):
    hub = import_module("huggingface_hub")
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    begun = time.monotonic()
    with pytest.raises(TeacherError, match=r"must have the pretrained network '.*'; .* Hint: .*--teacher (timm:local-dir|hf):FOLDER"):
        load_teacher(name, DATA)
    assert time.monotonic() - begun < 10  # else it waits for 23 s between six tries for each file
    assert not hub.constants.HF_HUB_OFFLINE


def imagenet() -> DataSource:
    """Make a data set with the classes of ImageNet as its folders are named."""
    rng = np.random.default_rng(0)
    samples = LabelledImages(images=rng.integers(0, 256, (3000, 3, 8, 8), dtype=np.uint8), labels=np.arange(3000, dtype=np.int64) % 1000)
    classes = tuple(f"n{1440764 + number:08d}" for number in range(1000))
    return DataSource(name="imagenet", classes=classes, validation=1000, augmentation=PLAN, develop=lambda: samples, test=lambda: samples)


def write_squeezenet(home, monkeypatch, **more) -> torch.nn.Module:
    """Put a checkpoint where torch.hub would download it to."""
    models = imported("torchvision").models
    monkeypatch.setenv("TORCH_HOME", str(home))
    torch.manual_seed(0)
    network = models.squeezenet1_1()
    place = home / "hub" / "checkpoints" / models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    place.parent.mkdir(parents=True)
    torch.save({**network.state_dict(), **more}, place)
    return network.eval()


def test_a_network_of_torchvision_reads_images_as_there(tmp_path, monkeypatch):
    network = write_squeezenet(tmp_path, monkeypatch)
    data = imagenet().teaching()
    teacher = load_teacher("torchvision:squeezenet1_1", data)
    prepared = imported("torchvision").models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    pixels = data.train.images[:2]
    with torch.no_grad():
        wanted = network(torch.stack([prepared(picture) for picture in pictures(pixels)]))
    torch.testing.assert_close(teacher.answers()(as_students_read(pixels, data)), wanted, rtol=0, atol=0.02 * float(wanted.abs().max()))
    assert teacher.write_graph is not None


def test_a_checkpoint_of_torchvision_runs_no_code(tmp_path, monkeypatch):
    write_squeezenet(tmp_path, monkeypatch, more=Touches(tmp_path / "ran"))
    with pytest.raises(TeacherError, match="must come as weights alone; its file is a pickle of more"):
        load_teacher("torchvision:squeezenet1_1", DATA)
    assert not (tmp_path / "ran").exists()


def test_a_network_that_does_not_classify_is_refused():
    with pytest.raises(TeacherError, match="must classify images; its weights are for SemanticSegmentation"):
        load_teacher("torchvision:lraspp_mobilenet_v3_large", DATA)
