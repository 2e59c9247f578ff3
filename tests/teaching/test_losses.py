import numpy as np
import pytest
import torch

from autokd_edge.teaching.losses import distillation_loss

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
