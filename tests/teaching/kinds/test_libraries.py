import sys

import pytest
import torch
from teaching.kinds.test_onnx_file import DATA, IMAGES

from autokd_edge.errors import TeacherError
from autokd_edge.teaching.teachers import load_teacher

FAKE_TIMM = """
from torch import nn
import torch
class data:
    @staticmethod
    def resolve_model_data_config(model):
        return {"input_size": (3, 16, 16), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "crop_pct": 1.0, "interpolation": "bicubic"}
def create_model(name, pretrained):
    if name != "tiny":
        raise RuntimeError(f"Unknown model ({name})")
    assert pretrained
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(768, 3))
    model.pretrained_cfg = {"label_names": ["left", "middle", "right"]}
    return model
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a stand-in for a package first on the path; a real one is put aside meanwhile, and no server is asked."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    installed = []

    def write(package: str, text: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        (tmp_path / f"{package}.py").write_text(text)
        installed.append(package)

    yield write
    for package in installed:
        sys.modules.pop(package, None)


def test_a_network_of_timm_is_read_with_its_own_preprocessing(install):
    install("timm", FAKE_TIMM)
    teacher = load_teacher("timm:tiny", DATA)
    assert teacher.name == "timm:tiny"
    assert torch.equal(teacher.answers()(IMAGES), teacher.answers()(IMAGES))
    assert teacher.cost.parameters >= 768 * 3 + 3


def test_a_network_that_the_library_does_not_have_is_refused(install):
    install("timm", FAKE_TIMM)
    with pytest.raises(TeacherError, match=r"timm must have the pretrained network 'huge'; RuntimeError: Unknown model \(huge\)"):
        load_teacher("timm:huge", DATA)


def test_classes_of_another_data_set_are_refused(install):
    install("timm", FAKE_TIMM.replace('"left"', '"tench"'))
    with pytest.raises(TeacherError, match="must have the same classes; 'timm:tiny' knows 3 classes \\(tench"):
        load_teacher("timm:tiny", DATA)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("timm:a", "timm", "timm"), ("torchvision:a", "torchvision", "torchvision"), ("hf:a", "transformers", "transformers")],
)
def test_a_library_that_is_not_installed_is_said_with_the_command_that_installs_it(install, name, package, extra):
    install(package, f'raise ModuleNotFoundError("No module named {package}")')
    with pytest.raises(TeacherError, match=rf"needs {package}, which is not installed. Hint: pip install 'autokd-edge\[{extra}\]'"):
        load_teacher(name, DATA)


def test_a_library_that_does_not_fit_the_installed_torch_is_said(install):
    install("torchvision", "raise RuntimeError('operator torchvision::nms does not exist')")
    with pytest.raises(TeacherError, match=r"does not import \(operator torchvision::nms does not exist\).* --teacher FILE\.pt2"):
        load_teacher("torchvision:resnet18", DATA)
