"""How many variants of each image a lesson sees before they repeat.

A short lesson sees every image a few times, and two variants serve all students of a study out of one table of the
teacher's answers. A long one would learn two variants by heart (Beyer et al., 2021, arXiv 2106.05237: a student needs a
patient teacher that sees the very images that it sees, and many of them); each more of them costs the teacher a pass over the
data, once for a study. So a long lesson sees as many as come back several times each, and as the teacher's work allows.
"""

from __future__ import annotations

import math

from autokd_edge.teaching.augment import NO_AUGMENTATION, AugmentPlan

SEEN_EACH = 4  # times that each variant comes back in a long lesson
MOST = 16  # tables of the teacher's answers
TEACHERS_SHARE = 0.25  # of a lesson's work, that its variants may cost the teacher
_PASSES = 3  # of a step in forward passes: one there, about two back
# A million multiplications of a teacher's take less time than of a small student's, whose work is to move memory: 4 us against
# 18 to 64 on two cores of an AMD EPYC (bfloat16, batches of 128, the example teacher and students of 40,000 to 60,000 parameters).
_EASE = 4


def variants_of(plan: AugmentPlan, epochs: float, *, student_macs: int, teacher_macs: int | None) -> int:
    """Return K for a lesson of so many epochs; the plan's at least.

    ``teacher_macs`` are those of a teacher whose answers are kept, None where they are not known; 0 where nothing is kept, so
    that nothing need repeat.
    """
    if plan == NO_AUGMENTATION or teacher_macs is None:
        return plan.variants
    if teacher_macs == 0:
        return max(plan.variants, math.ceil(epochs))
    affordable = TEACHERS_SHARE * epochs * _PASSES * _EASE * student_macs / teacher_macs
    return max(plan.variants, int(min(epochs / SEEN_EACH, affordable, MOST)))
