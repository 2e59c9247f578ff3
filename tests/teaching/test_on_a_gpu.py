"""A lesson on another device than the processor: what computes with what, on torch's device without numbers, and on a real GPU."""

from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import load_file
from teaching.small import small_source, small_student, small_teacher

from autokd_edge.teaching import lesson as lessons
from autokd_edge.teaching.arithmetic import CPU, fast_arithmetic, teaching_device
from autokd_edge.teaching.batches import Batch
from autokd_edge.teaching.losses import LOSSES, Lessons, Outputs
from autokd_edge.teaching.trainer import KDDistiller

GPU, META = torch.device("cuda:0"), torch.device("meta")
SAMPLES, CLASSES, CHANNELS = 12, 3, (8, 16)
NO_GPU = "needs an NVIDIA GPU that this build of torch can use"


@pytest.fixture
def numbers_of_nothing(monkeypatch):
    """Tensors of the device ``meta`` refuse to compute with those of another one, as a GPU's do, and have no numbers."""
    for method, answer in (("item", 0.5), ("__bool__", True)):
        monkeypatch.setattr(torch.Tensor, method, lambda _self, answer=answer: answer)
    monkeypatch.setattr(lessons, "fast_arithmetic", lambda _device: nullcontext())


@pytest.mark.usefixtures("numbers_of_nothing")
@pytest.mark.parametrize("name", LOSSES)
def test_a_step_of_every_loss_computes_on_its_device_alone(name, tmp_path):
    kind, index, labels = LOSSES[name], torch.arange(8), torch.arange(SAMPLES) % CLASSES
    known = Lessons(student_channels=(8,), teacher_channels=CHANNELS, labels=labels, seed=0)
    loss = kind(kind.space.at([0.5] * len(kind.space)), known)
    spec = small_student(separable=True)
    features = tuple(torch.randn(8, channels, 4, 4) for channels in CHANNELS) if kind.needs_features else ()
    lesson = lessons.Lesson(spec, 10, 0, tmp_path / "partial", loss, device=META)
    batch = Batch(variant=0, index=index, images=torch.randn(8, *spec.input), labels=labels[index])
    lesson.take_step(batch, Outputs(logits=torch.randn(8, CLASSES), features=features))
    learnt = [*lesson.network.parameters(), *loss.parameters()]
    assert {parameter.grad.device for parameter in learnt} == {META}


@pytest.mark.usefixtures("numbers_of_nothing")
def test_what_lies_elsewhere_is_seen(tmp_path):
    known = Lessons(student_channels=(), teacher_channels=(), labels=torch.arange(3), seed=0)
    lesson = lessons.Lesson(small_student(), 10, 0, tmp_path / "p", LOSSES["kd"](LOSSES["kd"].space.at([0.5, 0.5]), known), device=META)
    lesson._device = CPU
    batch = Batch(variant=0, index=torch.arange(3), images=torch.randn(3, 1, 8, 8), labels=torch.arange(3))
    with pytest.raises(RuntimeError, match="device"):
        lesson.take_step(batch, Outputs(logits=torch.randn(3, CLASSES)))


def test_without_a_gpu_networks_are_taught_on_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert teaching_device() == CPU


def test_a_gpu_is_taught_on_where_torch_can_use_one(monkeypatch):
    for setting in ("deterministic", "benchmark", "allow_tf32"):  # put back after the test
        monkeypatch.setattr(torch.backends.cudnn, setting, getattr(torch.backends.cudnn, setting))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert teaching_device() == GPU
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_computes_in_bfloat16_where_it_has_it(monkeypatch, has):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)  # else torch turns autocast off
    assert fast_arithmetic(GPU)._enabled == has


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)  # what a GPU computes is seen on one alone; its steps are tested above
@pytest.mark.parametrize("name", LOSSES)
def test_on_a_real_gpu_students_learn_and_the_same_seed_gives_the_same_weights(name, tmp_path):
    kind = LOSSES[name]
    point = kind.space.at([0.5] * len(kind.space))
    weights = []
    for run in ("first", "again"):
        teaching = KDDistiller(small_source().teaching(), small_teacher(), seed=5, cache=tmp_path / run, loss=name)
        taught = teaching.teach(small_student(), point, steps=200, seed=7, out=tmp_path / run / "w.safetensors")
        assert taught.accuracy > 60  # of three classes
        weights.append(load_file(tmp_path / run / "w.safetensors"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
