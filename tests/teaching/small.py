"""A small data set that can be learnt, a small teacher of it, and a teacher that counts what it is asked."""

import numpy as np
import torch

from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.space import Point
from autokd_edge.core.student import GlobalAvgPool, Linear, StudentSpec
from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.graph import GraphWriter
from autokd_edge.students.lower_torch import torch_from_spec
from autokd_edge.teaching.augment import AugmentPlan
from autokd_edge.teaching.bridge import reads_of
from autokd_edge.teaching.kinds.layer_graph import layer_graph_teacher
from autokd_edge.teaching.samples import DataSource, LabelledImages
from autokd_edge.teaching.teacher import Teacher

CLASSES = ("left", "middle", "right")
IMAGE = (1, 8, 8)
PLAN = AugmentPlan(shift=1, flip=False, cutout=0, variants=3)
POINT = Point(values=(("tau", 4.0), ("alpha", 0.9)))


def small_images(count: int, *, seed: int = 0) -> LabelledImages:
    """Draw noise with a bright column, whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), count)
    images = rng.integers(0, 120, (count, *IMAGE), dtype=np.uint8)
    images[np.arange(count), 0, :, 1 + 3 * labels - (labels == 2)] = 250
    return LabelledImages(images=images, labels=labels.astype(np.int64))


def small_source(*, samples: int = 200, held: int = 50, plan: AugmentPlan = PLAN) -> DataSource:
    """Make a data set whose test set must not be asked for."""

    def untouchable() -> LabelledImages:
        raise AssertionError("the test set was asked for")

    return DataSource(
        name="small", classes=CLASSES, validation=held, augmentation=plan, develop=lambda: small_images(samples), test=untouchable
    )


def small_student(*, separable: bool = False) -> StudentSpec:
    """Write two convolutions with their batch norms."""
    graph = GraphWriter(IMAGE)
    x = graph.conv_norm(graph.conv_norm("input", 8), 8, depthwise=separable)
    graph.put(Linear(out_features=len(CLASSES)), graph.put(GlobalAvgPool(), graph.conv_norm(x, 8)))
    return graph.spec(seed=11)


def small_teacher(*, weight: float = 1.0, seed: int = 2) -> Teacher:
    """Make an untrained teacher; ``weight`` scales its last layer."""
    spec = resnet_spec(IMAGE, len(CLASSES), (8,), 1, stem=8, seed=seed)
    arrays = torch_from_spec(spec).arrays()
    arrays[f"{spec.output}.weight"] *= weight
    data = small_source().teaching()
    digest = digest_of_bytes(f"{seed} {weight}".encode())
    return layer_graph_teacher(spec, arrays, name="small", reads=reads_of(data), data=data, digest=digest)


class FakeTeacher:
    """Answers with sums of the pixels, counts the images it sees, and stops the program at the call it is told."""

    def __init__(self, *, stop_at_call: int = 0, classes: int = len(CLASSES)) -> None:
        self.calls, self.images = 0, 0
        self.classes = classes
        self.digest = digest_of_bytes(b"fake teacher")
        self.layers = self.cost = None
        self._stop_at_call = stop_at_call

    def answers(self):
        return self.answer

    def answer(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.images += len(images)
        if self.calls == self._stop_at_call:
            raise KeyboardInterrupt
        return torch.stack([images.sum(dim=(1, 2, 3)), images[:, 0, 0].sum(1), images[:, 0, -1, -1]], dim=1)
