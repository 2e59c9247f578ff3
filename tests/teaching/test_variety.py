import pytest
from teaching.small import PLAN

from autokd_edge.teaching.augment import NO_AUGMENTATION
from autokd_edge.teaching.variety import MOST, variants_of


@pytest.mark.parametrize(
    ("epochs", "student", "teacher", "expected"),
    [
        (2.5, 10, 10, 3),  # the plan's
        (15.9, 10, 10, 3),
        (20, 10, 10, 5),  # each four times
        (58, 10, 10, 14),
        (58, 4, 48, 14),
        (58, 2, 48, 7),  # 0.25 x 58 epochs x 3 passes x 4 x 2 / 48
        (58, 1, 4_800, 3),
        (1_000, 10, 10, MOST),
        (58, 10, None, 3),
        (57.2, 10, 0, 58),  # nothing is kept, nothing repeats
        (1.5, 10, 0, 3),
    ],
)
def test_a_lesson_sees_as_many_variants_as_come_back_four_times_and_as_the_teachers_work_allows(epochs, student, teacher, expected):
    assert variants_of(PLAN, epochs, student_macs=student, teacher_macs=teacher) == expected


def test_images_that_are_not_varied_have_one_variant():
    assert variants_of(NO_AUGMENTATION, 100, student_macs=10, teacher_macs=0) == 1
