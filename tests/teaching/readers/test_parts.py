import numpy as np
import pytest
from teaching.small import CLASSES, small_images

from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.parts import MOST_HELD, source_of_parts
from autokd_edge.teaching.samples import LabelledImages

TRAIN = small_images(200)


def test_what_is_missing_is_held_out_of_the_training_part_by_a_fixed_seed():
    first, second = (source_of_parts("mine", CLASSES, TRAIN, None, None) for _ in range(2))
    assert np.array_equal(first.test().images, second.test().images)
    data = first.teaching()
    assert (len(data.train), len(data.validation), len(first.test())) == (162, 18, 20)
    together = [*data.train.images, *data.validation.images, *first.test().images]
    assert sorted(i.tobytes() for i in together) == sorted(i.tobytes() for i in TRAIN.images)


def test_parts_that_are_there_are_taken_whole():
    source = source_of_parts("mine", CLASSES, TRAIN, small_images(30, seed=1), small_images(40, seed=2))
    data = source.teaching()
    assert (len(data.train), len(data.validation), len(source.test())) == (200, 30, 40)


def test_no_more_is_held_out_than_an_accuracy_needs():
    many = LabelledImages(images=np.zeros((70_000, 1, 1, 1), np.uint8), labels=np.arange(70_000) % 3)
    assert source_of_parts("mine", CLASSES, many, None, TRAIN_SIZED).validation == MOST_HELD


TRAIN_SIZED = LabelledImages(images=np.zeros((3, 1, 1, 1), np.uint8), labels=np.arange(3))


def test_a_part_of_another_image_size_is_refused_with_both_sizes():
    other = LabelledImages(images=np.zeros((3, 1, 9, 8), np.uint8), labels=np.arange(3))
    with pytest.raises(DataError, match=r"the training part has \(1, 8, 8\), the test part \(1, 9, 8\). Hint: --image-size"):
        source_of_parts("mine", CLASSES, TRAIN, None, other)


def test_a_name_becomes_one_that_a_folder_can_have():
    assert source_of_parts("hf-a/b c:d", CLASSES, TRAIN, None, None).name == "hf-a-b-c-d"
