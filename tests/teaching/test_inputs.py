import dataclasses

import numpy as np
import pytest
import torch
from contracts.image_sets import ImageSetsContract
from fakes.small_disk import small_disk
from teaching.small import IMAGE, small_images, small_source

from autokd_edge.errors import StoreError
from autokd_edge.teaching.augment import Augmenter
from autokd_edge.teaching.inputs import CALIBRATION, PreparedImages, preprocessed

SOURCE = dataclasses.replace(small_source(samples=600), test=lambda: small_images(30, seed=9))
DATA = SOURCE.teaching()


class TestPreparedImages(ImageSetsContract):
    @pytest.fixture
    def images(self, tmp_path):
        return PreparedImages(SOURCE, DATA, tmp_path / "inputs")

    @pytest.fixture
    def again(self, tmp_path):
        return PreparedImages(SOURCE, SOURCE.teaching(), tmp_path / "inputs")

    @pytest.fixture
    def image(self):
        return IMAGE

    def test_calibration_images_are_some_of_the_training_images(self, images):
        path, labels = images.inputs("calibration")
        training = {image.tobytes() for image in preprocessed(DATA.train.images, DATA.mean, DATA.std)}
        assert {image.tobytes() for image in np.load(path)} <= training
        assert len(labels) == CALIBRATION
        assert np.bincount(labels).min() > 60  # every class is there by its share

    def test_a_small_training_set_calibrates_with_all_of_it(self, tmp_path):
        source = small_source(samples=200)
        _, labels = PreparedImages(source, source.teaching(), tmp_path).inputs("calibration")
        assert len(labels) == 150

    def test_a_file_of_another_test_set_is_never_taken_for_this_one(self, images, tmp_path):
        other = dataclasses.replace(SOURCE, test=lambda: small_images(30, seed=10))
        path, labels = PreparedImages(other, DATA, tmp_path / "inputs").inputs("test")
        first, first_labels = images.inputs("test")
        assert not np.array_equal(np.load(path), np.load(first))
        assert not np.array_equal(labels, first_labels)


def test_only_the_test_split_asks_for_the_test_set(tmp_path):
    images = PreparedImages(small_source(), small_source().teaching(), tmp_path)
    images.inputs("calibration")
    images.inputs("validation")
    with pytest.raises(AssertionError, match="test set"):
        images.inputs("test")


def test_preprocessing_is_that_of_teaching():
    augment = Augmenter(DATA.augmentation, samples=len(DATA.train), seed=0, image=IMAGE, mean=DATA.mean, std=DATA.std)
    expected = augment.plain(torch.from_numpy(DATA.validation.images)).numpy()
    np.testing.assert_allclose(preprocessed(DATA.validation.images, DATA.mean, DATA.std), expected, atol=1e-6)


def test_preprocessing_is_by_channel():
    images = np.full((1, 3, 1, 1), 255, np.uint8)
    values = preprocessed(images, (0.5, 0.0, 1.0), (0.5, 0.25, 2.0))
    np.testing.assert_allclose(values.ravel(), [1.0, 4.0, 0.0], atol=1e-6)


def test_a_file_that_was_cut_off_by_a_full_disk_is_not_taken_for_a_whole_one(tmp_path):
    with small_disk(tmp_path / "disk", kibibytes=8) as disk:
        images = PreparedImages(SOURCE, DATA, disk / "inputs")
        with pytest.raises(StoreError, match=r"images must be written to .*Hint: free some space"):
            images.inputs("validation")  # 50 images of 256 bytes
        assert list((disk / "inputs").iterdir()) == []
