"""Losses that teach a student, one class each, all with one interface, and the table of their names.

Notation: n batch, k classes, (c, h, w) features. ``labels`` are class numbers ``(n,)``, or shares
``(n, k)`` where images are mixed; a loss that needs one class then takes the one of the larger share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd_edge.core.space import Point, Real, SearchSpace

_TAU = Real(name="tau", low=1.0, high=20.0, log=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a network gives for a batch: logits ``(n, k)``, and features ``(n, c, h, w)`` where they were asked for.

    ``features`` are the last ones of each resolution, from the largest to the smallest.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()

    def to(self, device: torch.device) -> Outputs:
        """Return them on a device."""
        return Outputs(logits=self.logits.to(device), features=tuple(feature.to(device) for feature in self.features))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What a loss may know before it begins: channels of both networks' features, and the labels ``(samples,)`` of all samples."""

    student_channels: tuple[int, ...]
    teacher_channels: tuple[int, ...]
    labels: Tensor
    seed: int


class Loss(nn.Module):
    """Maps outputs of student and teacher to one number; what it learns itself are its parameters.

    ``needs_teacher`` and ``needs_features`` say what ``forward`` must be given; ``space`` has its parameters.
    """

    space: ClassVar[SearchSpace]
    needs_teacher: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False

    def __init__(self, point: Point, lessons: Lessons) -> None:  # noqa: ARG002  the interface of all losses
        super().__init__()
        self.point = point

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:
        """Return the mean over the batch; ``index`` are the sample numbers ``(n,)``, on the CPU whatever the others are on."""
        raise NotImplementedError


class CrossEntropy(Loss):
    """CE(labels, student): no teacher at all."""

    space = SearchSpace(parameters=())
    needs_teacher = False

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:  # noqa: ARG002
        """Return the cross-entropy."""
        return functional.cross_entropy(student.logits, labels)


class LabelSmoothing(Loss):
    """Cross-entropy with (1 - epsilon) of the label and epsilon of the uniform law: Szegedy et al., 2015, arXiv 1512.00567."""

    space = SearchSpace(parameters=(Real(name="epsilon", low=0.0, high=0.3),))
    needs_teacher = False

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:  # noqa: ARG002
        """Return the cross-entropy with softened labels."""
        return functional.cross_entropy(student.logits, labels, label_smoothing=self.point.number("epsilon"))


class KD(Loss):
    """(1 - alpha) CE + alpha tau^2 KL(teacher at tau || student at tau): Hinton, Vinyals, Dean, 2015, arXiv 1503.02531.

    tau^2 keeps the gradients' size (section 2 of the paper); alpha is the teacher's share, 0 to 1.
    """

    space = SearchSpace(parameters=(_TAU, Real(name="alpha", low=0.0, high=1.0)))

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:  # noqa: ARG002
        """Return the weighted sum of the two."""
        tau, alpha = self.point.number("tau"), self.point.number("alpha")
        hard = functional.cross_entropy(student.logits, labels)
        soft = functional.kl_div(
            functional.log_softmax(student.logits / tau, dim=1),
            functional.log_softmax(teacher.logits / tau, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - alpha) * hard + alpha * tau**2 * soft


class DKD(Loss):
    """CE + tau^2 (TCKD + beta NCKD), the target class apart from the others: Zhao et al., 2022, arXiv 2203.08679.

    The weight of TCKD is 1, as in all of the paper's experiments.
    """

    space = SearchSpace(parameters=(_TAU, Real(name="beta", low=0.5, high=10.0, log=True)))

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:  # noqa: ARG002
        """Return the sum."""
        tau, beta = self.point.number("tau"), self.point.number("beta")
        target = _class(labels)[:, None]  # (n, 1)
        others = _all_but(target, student.logits.shape[1])
        s, t = functional.log_softmax(student.logits / tau, dim=1), functional.log_softmax(teacher.logits / tau, dim=1)
        binary = _kl(_two(t, target, others), _two(s, target, others))
        # Without the target: its logit is taken out before the softmax.
        without = [functional.log_softmax(v.logits.gather(1, others) / tau, dim=1) for v in (teacher, student)]
        return functional.cross_entropy(student.logits, labels) + tau**2 * (binary + beta * _kl(*without))


class DIST(Loss):
    """CE + beta (1 - correlation over classes) + gamma (1 - correlation over samples): Huang et al., 2022, arXiv 2205.10536."""

    space = SearchSpace(
        parameters=(
            Real(name="tau", low=1.0, high=8.0, log=True),
            Real(name="beta", low=0.5, high=4.0, log=True),
            Real(name="gamma", low=0.5, high=4.0, log=True),
        )
    )

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:  # noqa: ARG002
        """Return the sum; tau^2 as in the authors' code."""
        tau = self.point.number("tau")
        s, t = (functional.softmax(v.logits / tau, dim=1) for v in (student, teacher))
        inter, intra = 1 - _correlation(s, t).mean(), 1 - _correlation(s.T, t.T).mean()
        soft = self.point.number("beta") * inter + self.point.number("gamma") * intra
        return functional.cross_entropy(student.logits, labels) + tau**2 * soft


class AT(Loss):
    """CE + beta times the squared distance of attention maps: Zagoruyko, Komodakis, 2016, arXiv 1612.03928.

    A map is the mean of squares over channels, of unit length; distances are means over places, as in the authors' code.
    """

    space = SearchSpace(parameters=(Real(name="beta", low=100.0, high=10_000.0, log=True),))
    needs_features = True

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:  # noqa: ARG002
        """Return the sum over the resolutions that both networks have, from the smallest."""
        pairs = list(zip(reversed(student.features), reversed(teacher.features), strict=False))
        distances = [(_attention(s) - _attention(t)).square().mean() for s, t in map(_one_size, pairs)]
        return functional.cross_entropy(student.logits, labels) + self.point.number("beta") * torch.stack(distances).sum()


class SP(Loss):
    """CE + gamma / n^2 times the squared distance of the samples' similarities: Tung, Mori, 2019, arXiv 1907.09682."""

    space = SearchSpace(parameters=(Real(name="gamma", low=300.0, high=30_000.0, log=True),))
    needs_features = True

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:  # noqa: ARG002
        """Compare the last features: their Gram matrices ``(n, n)`` with rows of unit length."""
        grams = [functional.normalize(f @ f.T, dim=1) for f in (v.features[-1].float().flatten(1) for v in (student, teacher))]
        distance = (grams[0] - grams[1]).square().sum() / len(labels) ** 2
        return functional.cross_entropy(student.logits, labels) + self.point.number("gamma") * distance


class CRD(Loss):
    """CE + weight times a contrast of student and teacher embeddings: Tian, Krishnan, Isola, 2019, arXiv 1910.10699.

    Both networks' last features, averaged over places, are embedded in ``DIMENSIONS``; a memory keeps the embeddings of
    all samples, from which ``negatives`` of other classes are drawn.
    """

    space = SearchSpace(parameters=(Real(name="weight", low=0.1, high=2.0, log=True),))
    needs_features = True
    DIMENSIONS: ClassVar[int] = 128
    TEMPERATURE: ClassVar[float] = 0.07
    MOMENTUM: ClassVar[float] = 0.5  # of the memory
    FEW: ClassVar[int] = 32  # samples for each negative, above which gathering rows moves less than a product with all of them
    NEGATIVES: ClassVar[int] = 4096  # at most; the paper's 16,384 is for a GPU
    memory: Tensor  # (2, samples, DIMENSIONS): students', teacher's
    norms: Tensor  # (2,) estimates of the normalising sums, -1 before the first batch

    def __init__(self, point: Point, lessons: Lessons) -> None:
        super().__init__(point, lessons)
        generator = torch.Generator().manual_seed(lessons.seed)
        self.embed = nn.ModuleList(
            _embedding(channels[-1], self.DIMENSIONS, generator) for channels in (lessons.student_channels, lessons.teacher_channels)
        )
        memory = torch.randn(2, len(lessons.labels), self.DIMENSIONS, generator=generator)
        self.register_buffer("memory", functional.normalize(memory, dim=2))
        self.register_buffer("norms", torch.full((2,), -1.0))
        self._labels = lessons.labels
        self._by_class = torch.argsort(lessons.labels, stable=True)
        self._ends = torch.cumsum(torch.bincount(lessons.labels), dim=0)
        self._negatives = min(self.NEGATIVES, len(lessons.labels) - int(torch.bincount(lessons.labels).max()))

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor, index: Tensor) -> Tensor:
        """Contrast each network's embedding with the memory of the other, then refresh the memory."""
        values = [
            functional.normalize(layer(v.features[-1].float().mean(dim=(2, 3))), dim=1)  # (n, DIMENSIONS)
            for layer, v in zip(self.embed, (student, teacher), strict=True)
        ]
        asked = torch.cat([index[:, None], self._drawn(index)], dim=1).to(values[0].device)  # (n, 1 + negatives)
        contrast = self._contrast(values[0], 1, asked) + self._contrast(values[1], 0, asked)
        with torch.no_grad():
            for which, value in enumerate(values):
                mixed = self.MOMENTUM * self.memory[which, index] + (1 - self.MOMENTUM) * value
                self.memory[which, index] = functional.normalize(mixed, dim=1)
        return functional.cross_entropy(student.logits, labels) + self.point.number("weight") * contrast

    def _contrast(self, values: Tensor, other: int, asked: Tensor) -> Tensor:
        """Return -(log D of the positive + sum of log(1 - D) of the negatives), mean over n; the first asked is the positive."""
        raw = torch.exp(self._products(values, other, asked) / self.TEMPERATURE)  # (n, 1 + negatives)
        if self.norms[other] < 0:
            self.norms[other] = raw.mean().detach() * len(self._labels)
        scores = raw / self.norms[other].clone()
        noise = (asked.shape[1] - 1) / len(self._labels)  # negatives times their probability 1 / samples
        positive = torch.log(scores[:, 0] / (scores[:, 0] + noise))
        negative = torch.log(noise / (scores[:, 1:] + noise)).sum(dim=1)
        return -(positive + negative).mean()

    def _products(self, values: Tensor, other: int, asked: Tensor) -> Tensor:
        """Return the inner products of embeddings and the memory's asked rows, ``(n, 1 + negatives)``.

        Products with all rows are taken where they are few: gathering 4,097 rows of 60,000 for each image takes five times as long.
        """
        if len(self._labels) <= self.FEW * asked.shape[1]:
            return (values @ self.memory[other].clone().T).gather(1, asked)  # the memory changes before the way back
        return torch.bmm(self.memory[other][asked], values[:, :, None])[:, :, 0]

    def _drawn(self, index: Tensor) -> Tensor:
        """Draw sample numbers ``(n, negatives)`` of other classes, each equally likely."""
        label = self._labels[index]
        ends = self._ends[label]
        sizes = torch.diff(self._ends, prepend=torch.zeros(1, dtype=torch.int64))[label]
        rest = len(self._labels) - sizes
        drawn = (torch.rand(len(index), self._negatives) * rest[:, None]).long().minimum(rest[:, None] - 1)
        starts = (ends - sizes)[:, None]
        return self._by_class[torch.where(drawn >= starts, drawn + sizes[:, None], drawn)]


def _embedding(channels: int, dimensions: int, generator: torch.Generator) -> nn.Linear:
    layer, bound = nn.Linear(channels, dimensions), channels**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer


LOSSES: Mapping[str, type[Loss]] = MappingProxyType(
    {"kd": KD, "dkd": DKD, "dist": DIST, "ce": CrossEntropy, "ls": LabelSmoothing, "at": AT, "sp": SP, "crd": CRD}
)


def _class(labels: Tensor) -> Tensor:
    return labels.argmax(dim=1) if labels.ndim == 2 else labels


def _kl(target: Tensor, found: Tensor) -> Tensor:
    """KL of log-probabilities ``(n, k)``, mean over n."""
    return functional.kl_div(found, target, reduction="batchmean", log_target=True)


def _all_but(target: Tensor, classes: int) -> Tensor:
    """Return the other classes ``(n, k - 1)`` of each target ``(n, 1)``, in order."""
    others = torch.arange(classes - 1, device=target.device)[None]
    return others + (others >= target)


def _two(logs: Tensor, target: Tensor, others: Tensor) -> Tensor:
    """Log-probabilities ``(n, 2)`` of the target class and of all others together."""
    return torch.cat([logs.gather(1, target), logs.gather(1, others).logsumexp(dim=1, keepdim=True)], dim=1)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, along the rows."""
    return functional.cosine_similarity(a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True), dim=1)


def _attention(features: Tensor) -> Tensor:
    return functional.normalize(features.square().mean(dim=1).flatten(1), dim=1)


def _one_size(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Pool the larger of two features down to the size of the smaller."""
    s, t = pair[0].float(), pair[1].float()
    height, width = min(s.shape[2], t.shape[2]), min(s.shape[3], t.shape[3])
    return functional.adaptive_avg_pool2d(s, (height, width)), functional.adaptive_avg_pool2d(t, (height, width))
