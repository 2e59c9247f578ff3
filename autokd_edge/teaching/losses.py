"""Losses that teach a student; each takes logits ``(n, classes)`` and labels ``(n,)``.

Reference: Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def distillation_loss(student: Tensor, teacher: Tensor, labels: Tensor, *, tau: float, alpha: float) -> Tensor:
    """(1 - alpha) CE(labels, student) + alpha tau^2 KL(teacher at tau || student at tau), mean over n.

    Args:
        student: logits ``(n, classes)``.
        teacher: logits ``(n, classes)`` for the same, equally augmented images.
        labels: class numbers ``(n,)``.
        tau: temperature, at least 1; tau^2 keeps the gradients' size (section 2 of the paper).
        alpha: share of the teacher, 0 to 1.
    """
    hard = functional.cross_entropy(student, labels)
    soft = functional.kl_div(
        functional.log_softmax(student / tau, dim=1),
        functional.log_softmax(teacher / tau, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - alpha) * hard + alpha * tau**2 * soft
