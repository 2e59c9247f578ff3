import dataclasses
import logging

import numpy as np
import pytest
from teaching.small import small_images, small_source

from autokd_edge.errors import DataError
from autokd_edge.teaching.augment import NO_AUGMENTATION
from autokd_edge.teaching.samples import LabelledImages, leaked, stratified


class TestStratified:
    def test_the_two_parts_are_disjoint_whole_and_of_the_size_asked_for(self):
        labels = small_images(997).labels
        for held in (1, 50, 300, 996):
            chosen, rest = stratified(labels, held)
            assert len(chosen) == held
            assert sorted([*chosen, *rest]) == list(range(997))

    def test_classes_have_the_share_that_they_have_in_the_whole(self):
        labels = np.repeat([0, 1, 2, 3], [1000, 500, 100, 20])
        counts = np.bincount(labels[stratified(labels, 162)[0]])
        assert np.abs(counts - [100, 50, 10, 2]).max() <= 1

    def test_the_split_is_the_same_every_time_and_no_run_of_neighbours(self):
        labels = np.zeros(100, np.int64)
        # Written down: a split that changed would let one version teach with what another held out.
        assert stratified(labels, 10)[0].tolist() == [3, 11, 14, 29, 34, 42, 53, 56, 93, 99]
        assert stratified(np.arange(90) % 3, 6)[0].tolist() == [1, 12, 24, 34, 56, 80]


class TestDataSource:
    def test_teaching_never_asks_for_the_test_set(self):
        source = small_source()
        assert len(source.teaching().train) == 150
        with pytest.raises(AssertionError, match="test set"):
            source.test()

    def test_training_and_validation_samples_are_the_whole_development_part(self):
        data = small_source().teaching()
        together = np.concatenate([data.train.images, data.validation.images])
        assert sorted(i.tobytes() for i in together) == sorted(i.tobytes() for i in small_images(200).images)
        assert (len(data.train), len(data.validation), data.image) == (150, 50, (1, 8, 8))

    def test_mean_and_deviation_are_those_of_the_training_split_alone(self):
        data = small_source().teaching()
        pixels = data.train.images / 255
        assert data.mean == pytest.approx([pixels.mean()])
        assert data.std == pytest.approx([pixels.std()])
        assert data.mean != pytest.approx([small_images(200).images.mean() / 255], abs=1e-9)

    def test_the_digest_names_the_content(self):
        source = small_source()
        digest = source.teaching().digest
        assert small_source().teaching().digest == digest
        images = small_images(200)
        images.images[7, 0, 0, 0] ^= 1
        relabelled = small_images(200)
        relabelled.labels[3] = (relabelled.labels[3] + 1) % 3
        changed = [
            dataclasses.replace(source, develop=lambda: images),
            dataclasses.replace(source, develop=lambda: relabelled),
            dataclasses.replace(source, validation=51),
            dataclasses.replace(source, name="another"),
            dataclasses.replace(source, augmentation=NO_AUGMENTATION),
            dataclasses.replace(source, given=lambda: small_images(60, seed=3)),
        ]
        assert len({digest, *(other.teaching().digest for other in changed)}) == 7

    @pytest.mark.parametrize("samples", [1, 49, 50])
    def test_a_data_set_that_leaves_nothing_to_train_on_is_refused(self, samples):
        with pytest.raises(DataError, match=f"more than the 50 samples held out; it has {samples}"):
            small_source(samples=samples).teaching()

    def test_images_and_labels_must_go_together(self):
        with pytest.raises(DataError, match="with n labels"):
            LabelledImages(images=np.zeros((3, 1, 4, 4), np.uint8), labels=np.zeros(2, np.int64))
        with pytest.raises(DataError, match="must be uint8"):
            LabelledImages(images=np.zeros((2, 1, 4, 4), np.float32), labels=np.zeros(2, np.int64))

    def test_a_validation_part_of_the_data_sets_own_is_taken_and_nothing_is_held_out(self):
        given = small_images(60, seed=3)
        data = dataclasses.replace(small_source(), given=lambda: given).teaching()
        assert (len(data.train), len(data.validation)) == (200, 60)
        assert np.array_equal(data.validation.images, given.images)

    def test_presets_become_a_plan_for_the_size_of_the_images(self):
        plan = dataclasses.replace(small_source(), augmentation=("crop", "cutout")).teaching().augmentation
        assert (plan.shift, plan.cutout, plan.flip, plan.variants) == (1, 2, False, 4)

    def test_a_class_without_an_image_to_train_on_is_refused_by_name(self):
        samples = small_images(200)
        samples.labels[samples.labels == 1] = 0
        with pytest.raises(DataError, match="every class of data set 'small' must have an image to train on; 'middle' has none"):
            dataclasses.replace(small_source(), develop=lambda: samples).teaching()

    def test_one_class_is_refused(self):
        with pytest.raises(DataError, match="'small' must have at least 2 classes; it has 1"):
            dataclasses.replace(small_source(), classes=("left",)).teaching()

    @pytest.mark.parametrize("label", [3, -1])
    def test_labels_out_of_range_are_counted_and_one_is_shown(self, label):
        samples = small_images(200)
        samples.labels[:2] = label
        with pytest.raises(DataError, match=f"labels in 'small' must be 0 to 2 and not empty; 2 of 200 are not, {label} for one"):
            dataclasses.replace(small_source(), develop=lambda: samples).teaching()

    def test_images_that_are_all_alike_are_refused(self):
        samples = small_images(200)
        samples.images[:] = 7
        with pytest.raises(DataError, match="must vary in every channel; those of channel 0 are all equal"):
            dataclasses.replace(small_source(), develop=lambda: samples).teaching()

    def test_a_validation_part_of_another_size_is_refused(self):
        other = LabelledImages(images=np.zeros((3, 1, 9, 9), np.uint8), labels=np.array([0, 1, 2]))
        with pytest.raises(DataError, match="must have one image shape"):
            dataclasses.replace(small_source(), given=lambda: other).teaching()


class TestLeaks:
    def source(self, leaking: int):
        known, fresh = small_images(200), small_images(40, seed=8)
        images = np.concatenate([known.images[:leaking], fresh.images[leaking:]])
        return dataclasses.replace(small_source(), test=lambda: LabelledImages(images=images, labels=fresh.labels))

    def test_test_images_that_are_taught_with_are_counted_and_said(self, caplog):
        source = self.source(7)
        with caplog.at_level(logging.WARNING):
            assert source.warn_of_leaks(source.teaching()) == 7
        assert caplog.messages == ["data set 'small': 7 of 40 test images are also among the training images"]

    def test_a_clean_split_is_not_spoken_of(self, caplog):
        source = self.source(0)
        assert source.warn_of_leaks(source.teaching()) == 0
        assert caplog.messages == []

    def test_a_test_set_that_is_mostly_taught_with_is_refused(self):
        source = self.source(21)
        with pytest.raises(DataError, match="21 of 40 of data set 'small' are"):
            source.warn_of_leaks(source.teaching())

    def test_an_image_that_differs_in_one_pixel_is_another(self):
        images = small_images(5).images
        other = images.copy()
        other[2, 0, 3, 3] ^= 1
        assert leaked((images,), other) == 4
