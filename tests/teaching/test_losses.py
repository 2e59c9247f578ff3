import numpy as np
import pytest
import torch

from autokd_edge.core.space import Point
from autokd_edge.teaching.losses import AT, CRD, DIST, DKD, KD, LOSSES, SP, CrossEntropy, LabelSmoothing, Lessons, Outputs

NO_LESSONS = Lessons(student_channels=(), teacher_channels=(), labels=torch.zeros(0, dtype=torch.int64), seed=0)


def applied(kind, student, teacher, labels, lessons=NO_LESSONS, index=None, **values: float) -> torch.Tensor:
    """Apply a loss to logits, or to ``Outputs``."""
    outputs = [v if isinstance(v, Outputs) else Outputs(logits=v) for v in (student, teacher)]
    return kind(Point(values=tuple(values.items())), lessons)(*outputs, labels, torch.arange(len(labels)) if index is None else index)


def distillation_loss(student, teacher, labels, *, tau: float, alpha: float) -> torch.Tensor:
    return applied(KD, student, teacher, labels, tau=tau, alpha=alpha)


STUDENT = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
TEACHER = np.array([[4.0, 0.0, 1.0], [1.0, 5.0, -3.0]])
LABELS = np.array([0, 2])


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def by_formula(*, tau: float, alpha: float) -> float:
    hard = -np.log(softmax(STUDENT)[np.arange(2), LABELS]).mean()
    p, q = softmax(TEACHER / tau), softmax(STUDENT / tau)
    soft = (p * np.log(p / q)).sum(axis=1).mean()
    return (1 - alpha) * hard + alpha * tau**2 * soft


def loss(student=STUDENT, teacher=TEACHER, *, tau: float, alpha: float) -> float:
    return distillation_loss(torch.tensor(student), torch.tensor(teacher), torch.tensor(LABELS), tau=tau, alpha=alpha).item()


@pytest.mark.parametrize("tau", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
def test_the_loss_is_the_formula(tau, alpha):
    assert loss(tau=tau, alpha=alpha) == pytest.approx(by_formula(tau=tau, alpha=alpha), rel=1e-9)


def test_two_values_worked_out_apart_from_any_code():
    # Student (0, 0), teacher (2 ln 3, 0), label 0, tau 2: the teacher says 3/4 and 1/4, the student 1/2 and 1/2.
    student, teacher = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[2 * np.log(3.0), 0.0]])
    label = torch.tensor([0])
    assert distillation_loss(student, teacher, label, tau=2.0, alpha=0.0).item() == pytest.approx(0.693147, abs=1e-6)
    # 4 (0.75 ln 1.5 + 0.25 ln 0.5) = 4 (0.304099 - 0.173287)
    assert distillation_loss(student, teacher, label, tau=2.0, alpha=1.0).item() == pytest.approx(0.523248, abs=1e-6)


def test_a_student_that_equals_its_teacher_has_only_the_labels_to_learn():
    assert loss(TEACHER, tau=4.0, alpha=1.0) == pytest.approx(0.0, abs=1e-12)


def test_without_the_teacher_its_logits_do_not_matter():
    assert loss(teacher=-7 * TEACHER, tau=4.0, alpha=0.0) == loss(tau=4.0, alpha=0.0)


def test_the_temperature_keeps_the_size_of_the_gradient():
    sizes = []
    for tau in (4.0, 16.0):
        student = torch.tensor(STUDENT, requires_grad=True)
        distillation_loss(student, torch.tensor(TEACHER), torch.tensor(LABELS), tau=tau, alpha=1.0).backward()
        sizes.append(student.grad.norm().item())
    assert 0.5 < sizes[0] / sizes[1] < 2  # without tau^2 it would be 16 times smaller


S, T, L = torch.tensor(STUDENT), torch.tensor(TEACHER), torch.tensor(LABELS)
HARD = -np.log(softmax(STUDENT)[np.arange(2), LABELS]).mean()


def test_cross_entropy_and_label_smoothing_are_their_formulas():
    assert applied(CrossEntropy, S, T, L).item() == pytest.approx(HARD)
    logs = np.log(softmax(STUDENT))
    smoothed = -(0.8 * logs[np.arange(2), LABELS] + 0.2 * logs.mean(axis=1)).mean()
    assert applied(LabelSmoothing, S, T, L, epsilon=0.2).item() == pytest.approx(smoothed)


class TestDKD:
    def test_the_two_parts_are_those_of_the_paper(self):
        tau, beta = 2.0, 3.0
        p, q = softmax(TEACHER / tau), softmax(STUDENT / tau)
        target = np.arange(2), LABELS
        binary_p, binary_q = (np.stack([v[target], 1 - v[target]], axis=1) for v in (p, q))
        tckd = (binary_p * np.log(binary_p / binary_q)).sum(axis=1).mean()
        others = np.array([[1, 2], [0, 1]])  # the classes that are not the target
        hat_p, hat_q = (np.take_along_axis(v, others, 1) / (1 - v[target])[:, None] for v in (p, q))
        nckd = (hat_p * np.log(hat_p / hat_q)).sum(axis=1).mean()
        expected = HARD + tau**2 * (tckd + beta * nckd)
        assert applied(DKD, S, T, L, tau=tau, beta=beta).item() == pytest.approx(expected)

    def test_with_the_weight_of_the_paper_it_is_plain_distillation(self):
        # KL = TCKD + (1 - p_target) NCKD (equation 7): one sample, beta = 1 - p_target.
        tau = 4.0
        beta = 1 - softmax(TEACHER[:1] / tau)[0, LABELS[0]]
        one = applied(DKD, S[:1], T[:1], L[:1], tau=tau, beta=beta) - HARD_FIRST
        assert one.item() == pytest.approx(applied(KD, S[:1], T[:1], L[:1], tau=tau, alpha=1.0).item())


HARD_FIRST = -np.log(softmax(STUDENT[:1])[0, LABELS[0]])


class TestDIST:
    def test_the_two_correlations_are_those_of_numpy(self):
        p, q = softmax(TEACHER / 2), softmax(STUDENT / 2)
        inter = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
        intra = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
        expected = HARD + 4 * (0.7 * inter + 1.5 * intra)
        assert applied(DIST, S, T, L, tau=2.0, beta=0.7, gamma=1.5).item() == pytest.approx(expected)

    def test_only_relations_matter(self):
        hard = torch.nn.functional.cross_entropy(S, L)
        moved = applied(DIST, S, S + 5, L, tau=1.0, beta=1.0, gamma=1.0)
        assert moved.item() == pytest.approx(hard.item(), abs=1e-6)


def with_features(logits, *features) -> Outputs:
    return Outputs(logits=logits, features=tuple(torch.tensor(f, dtype=torch.float32) for f in features))


class TestAT:
    def test_a_distance_worked_out_by_hand(self):
        # Maps of squares: student (9, 16) -> (9, 16) / sqrt(337); teacher (1, 1) -> (1, 1) / sqrt(2); mean of the two squares.
        student = with_features(S[:1], [[[[3.0, 4.0]]]])
        teacher = with_features(T[:1], [[[[1.0, -1.0]]]])
        a, b = np.array([9, 16]) / np.sqrt(337), np.array([1, 1]) / np.sqrt(2)
        expected = HARD_FIRST + 200 * ((a - b) ** 2).mean()
        assert applied(AT, student, teacher, L[:1], beta=200.0).item() == pytest.approx(expected, rel=1e-5)

    def test_resolutions_are_paired_from_the_smallest_and_pooled_to_one_size(self):
        student = with_features(S[:1], np.ones((1, 2, 8, 8)), np.ones((1, 3, 4, 4)), np.ones((1, 1, 2, 2)))
        teacher = with_features(T[:1], np.ones((1, 5, 4, 4)), np.ones((1, 5, 1, 1)))
        assert applied(AT, student, teacher, L[:1], beta=200.0).item() == pytest.approx(HARD_FIRST, abs=1e-5)


class TestSP:
    def test_a_distance_worked_out_by_hand(self):
        # Student features (1, 0) and (0, 1): Gram identity. Teacher (1, 0) and (1, 0): all ones, rows / sqrt(2).
        student = with_features(S, [[[[1.0]], [[0.0]]], [[[0.0]], [[1.0]]]])
        teacher = with_features(T, [[[[1.0]], [[0.0]]], [[[1.0]], [[0.0]]]])
        half = 1 / np.sqrt(2)
        distance = 2 * ((1 - half) ** 2 + half**2) / 4
        assert applied(SP, student, teacher, L, gamma=1000.0).item() == pytest.approx(HARD + 1000 * distance, rel=1e-5)


class TestCRD:
    LESSONS = Lessons(student_channels=(4,), teacher_channels=(6,), labels=torch.arange(40) % 4, seed=3)

    def outputs(self, seed: int, channels: int) -> Outputs:
        generator = torch.Generator().manual_seed(seed)
        return Outputs(logits=torch.zeros(8, 4), features=(torch.randn(8, channels, 2, 2, generator=generator),))

    def test_negatives_are_of_other_classes_and_all_of_them_are_drawn(self):
        loss = CRD(Point(values=(("weight", 1.0),)), self.LESSONS)
        torch.manual_seed(0)
        index = torch.tensor([3, 8, 17])
        drawn = torch.cat([loss._drawn(index) for _ in range(40)], dim=1)
        for row, number in zip(drawn, index, strict=True):
            assert set(row.tolist()) == {n for n in range(40) if n % 4 != number % 4}

    @pytest.mark.parametrize("few", [32, 0])
    def test_the_contrast_is_that_of_the_paper_however_its_products_are_taken(self, few, monkeypatch):
        monkeypatch.setattr(CRD, "FEW", few)
        loss = CRD(Point(values=(("weight", 0.5),)), self.LESSONS)
        loss.norms[:] = torch.tensor([3.0, 5.0])
        memory = loss.memory.clone()
        student, teacher = self.outputs(1, 4), self.outputs(2, 6)
        labels, index = self.LESSONS.labels[:8], torch.arange(8)
        torch.manual_seed(5)
        asked = torch.cat([index[:, None], loss._drawn(index)], dim=1)
        total = 0.0
        for layer, outputs, other in ((loss.embed[0], student, 1), (loss.embed[1], teacher, 0)):
            values = layer(outputs.features[0].mean(dim=(2, 3)))
            values = (values / values.norm(dim=1, keepdim=True)).detach().numpy()
            for n in range(8):
                scores = np.exp(memory[other][asked[n]].numpy() @ values[n] / 0.07) / (3.0, 5.0)[other]
                noise = (asked.shape[1] - 1) / 40
                total -= (np.log(scores[0] / (scores[0] + noise)) + np.log(noise / (scores[1:] + noise)).sum()) / 8
        torch.manual_seed(5)
        found = loss(student, teacher, labels, index).item()
        assert found == pytest.approx(np.log(4) + 0.5 * total, rel=1e-4)
        assert not torch.equal(loss.memory[:, :8], memory[:, :8])
        assert torch.equal(loss.memory[:, 8:], memory[:, 8:])

    def test_its_embeddings_are_learnt(self):
        loss = CRD(Point(values=(("weight", 0.5),)), self.LESSONS)
        assert len(list(loss.parameters())) == 4
        loss(self.outputs(1, 4), self.outputs(2, 6), self.LESSONS.labels[:8], torch.arange(8)).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_takes_the_shares_of_mixed_images_as_it_takes_classes(name):
    kind = LOSSES[name]
    lessons = TestCRD.LESSONS
    point = kind.space.at([0.5] * len(kind.space))
    student, teacher = TestCRD().outputs(1, 4), TestCRD().outputs(2, 6)
    labels = lessons.labels[:8]
    found = []
    for given in (labels, torch.nn.functional.one_hot(labels, 4).float()):
        torch.manual_seed(1)
        found.append(kind(point, lessons)(student, teacher, given, torch.arange(8)).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)
