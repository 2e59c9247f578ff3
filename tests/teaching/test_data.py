import numpy as np
import pytest
from teaching.small import CLASSES, small_images, small_source

from autokd_edge.errors import DataError
from autokd_edge.teaching.augment import NO_AUGMENTATION
from autokd_edge.teaching.data import data_source


@pytest.mark.parametrize("name", ["cifar", "", "digits:folder", "Digits", "imagefolder", "hf:", "npz", "cifar10", "cifar20:x"])
def test_an_unknown_data_set_is_refused_with_the_known_ones(name):
    with pytest.raises(DataError, match="must be one of digits, fashion-mnist, fashion-mnist:FOLDER, imagefolder:PATH, hf:NAME"):
        data_source(name)


def test_classes_are_those_of_the_source():
    assert small_source().teaching().classes == CLASSES


def test_an_image_size_brings_every_part_to_it():
    source = data_source("digits", image_size=16)
    assert source.teaching().image == (1, 16, 16)
    assert source.test().images.shape == (360, 1, 16, 16)


@pytest.mark.parametrize("size", [7, 0, -1, 513])
def test_an_image_size_that_no_student_can_read_is_refused(size):
    with pytest.raises(DataError, match=f"image size must be 8 to 512 pixels; got {size}. Hint: --image-size 64"):
        data_source("digits", image_size=size)


def test_augmentation_is_asked_for_by_name(tmp_path):
    assert data_source("digits", augment="none").teaching().augmentation == NO_AUGMENTATION
    plan = data_source("digits", augment="flip,mixup").teaching().augmentation
    assert (plan.shift, plan.flip, plan.mixup, plan.variants) == (0, True, 0.2, 4)
    samples = small_images(100)
    np.savez(tmp_path / "d.npz", images=samples.images, labels=samples.labels)
    assert data_source(f"npz:{tmp_path / 'd.npz'}").teaching().augmentation.flip


@pytest.mark.parametrize("text", ["", "blur", "crop,blur", "crop, flip"])
def test_an_unknown_augmentation_is_refused_with_the_known_ones(text):
    with pytest.raises(DataError, match="augmentation must be none or some of crop, flip, cutout, erase, mixup; got"):
        data_source("digits", augment=text)
