import numpy as np
import pytest
import torch
from fakes.small_disk import small_disk
from teaching.small import IMAGE, PLAN, FakeTeacher, small_images, small_teacher

from autokd_edge.errors import StoreError
from autokd_edge.teaching.augment import Augmenter
from autokd_edge.teaching.logits import KEPT, TeacherLogits

COUNT = 60
IMAGES = torch.from_numpy(small_images(COUNT).images)


def augmenter(seed=3) -> Augmenter:
    return Augmenter(PLAN, samples=COUNT, seed=seed, image=IMAGE, mean=(0.3,), std=(0.3,))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "logits"


def batches(seed: int):
    """Give the samples of an epoch in batches of another order each time."""
    return torch.randperm(COUNT, generator=torch.Generator().manual_seed(seed)).split(16)


def ask(logits: TeacherLogits, index: torch.Tensor, variant: int) -> torch.Tensor:
    return logits.of(augmenter().varied(IMAGES[index], index, variant), index, variant)


def test_cached_logits_are_those_of_the_teacher_on_the_very_images(folder):
    teacher = small_teacher()
    logits = TeacherLogits(teacher, samples=COUNT, folder=folder)
    answers = teacher.answers()
    for epoch in range(6):
        for index in batches(epoch):
            images = augmenter().varied(IMAGES[index], index, epoch % 3)
            assert torch.allclose(logits.of(images, index, epoch % 3), answers(images), atol=1e-5)


def test_each_variant_of_each_sample_is_computed_once(folder):
    teacher = FakeTeacher()
    logits = TeacherLogits(teacher, samples=COUNT, folder=folder)
    for epoch in range(9):
        for index in batches(epoch):
            ask(logits, index, epoch % 3)
        assert teacher.images == COUNT * min(epoch + 1, 3)


def test_a_batch_that_is_half_known_asks_only_for_the_other_half(folder):
    teacher = FakeTeacher()
    logits = TeacherLogits(teacher, samples=COUNT, folder=folder)
    first = ask(logits, torch.arange(0, 20), 0)
    mixed = ask(logits, torch.tensor([25, 3, 30, 19]), 0)
    assert teacher.images == 22
    assert torch.equal(mixed[1], first[3])
    assert torch.equal(mixed[3], first[19])
    assert torch.equal(mixed[0], ask(logits, torch.tensor([25]), 0)[0])


def test_the_table_survives_the_process_that_began_it(folder):
    before = ask(TeacherLogits(FakeTeacher(), samples=COUNT, folder=folder), torch.arange(COUNT), 1)
    teacher = FakeTeacher()
    again = TeacherLogits(teacher, samples=COUNT, folder=folder)
    assert torch.equal(ask(again, torch.arange(COUNT), 1), before)
    assert teacher.calls == 0
    ask(again, torch.arange(COUNT), 2)
    assert teacher.images == COUNT


def test_a_row_that_was_not_marked_is_computed_again(folder):
    before = ask(TeacherLogits(FakeTeacher(), samples=COUNT, folder=folder), torch.arange(COUNT), 0)
    rows, marks = (np.load(folder / name, mmap_mode="r+") for name in ("0.npy", "0.done.npy"))
    rows[5], marks[5] = 99.0, False  # killed between the row and its mark
    rows.flush()
    marks.flush()
    teacher = FakeTeacher()
    after = ask(TeacherLogits(teacher, samples=COUNT, folder=folder), torch.arange(COUNT), 0)
    assert teacher.images == 1
    assert torch.equal(after, before)


def test_what_is_returned_can_be_changed_without_changing_the_table(folder):
    logits = TeacherLogits(FakeTeacher(), samples=COUNT, folder=folder)
    index = torch.arange(8)
    first = ask(logits, index, 0).clone()
    ask(logits, index, 0).zero_()
    assert torch.equal(ask(logits, index, 0), first)


def test_a_disk_without_room_for_the_table_is_said_before_anything_is_taught(tmp_path):
    with small_disk(tmp_path / "disk", kibibytes=16) as disk:
        with pytest.raises(StoreError, match=r"No space left.*Hint: free some space"):
            TeacherLogits(FakeTeacher(), samples=5_000, folder=disk / "logits")
        assert list(disk.rglob("*.npy")) == []


class ManyClasses(FakeTeacher):
    """Answers with 1,000 logits."""

    def __init__(self) -> None:
        super().__init__(classes=1_000)

    def answer(self, images: torch.Tensor) -> torch.Tensor:
        super().answer(images)
        places = torch.arange(1_000)[None] * images.mean(dim=(1, 2, 3))[:, None]
        return 8 * torch.sin(places)


def test_of_many_classes_the_largest_are_kept_and_the_rest_share_what_is_left(folder):
    teacher = ManyClasses()
    logits = TeacherLogits(teacher, samples=COUNT, folder=folder)
    index = torch.arange(16)
    whole = teacher.answer(augmenter().varied(IMAGES[index], index, 0))
    found = ask(logits, index, 0)
    assert torch.equal(found, ask(logits, index, 0))  # out of the table, as when it was new
    largest, places = whole.topk(KEPT, dim=1)
    assert torch.allclose(found.gather(1, places), largest, atol=0.01)  # float16
    p, q = (v.softmax(dim=1) for v in (whole, found))
    assert torch.allclose(p.gather(1, places).sum(1), q.gather(1, places).sum(1), atol=0.01)
    rest = found.scatter(1, places, torch.nan)
    assert (rest.nan_to_num(-99).amax(1) == rest.nan_to_num(99).amin(1)).all()
    assert (folder / "0.npy").stat().st_size < 0.04 * COUNT * 1_000 * 4 + 200
