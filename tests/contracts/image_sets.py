"""What every ImageSets keeps; a test class inherits it and gives ``images``, ``again`` (on the same storage) and ``image``."""

import numpy as np
import pytest

SPLITS = ("calibration", "validation", "test")


class ImageSetsContract:
    @pytest.mark.parametrize("split", SPLITS)
    def test_a_split_is_a_file_of_float_images_and_a_label_for_each(self, images, image, split):
        path, labels = images.inputs(split)
        samples = np.load(path, allow_pickle=False)
        assert samples.dtype == np.float32
        assert samples.shape == (len(labels), *image)
        assert labels.dtype == np.int64
        assert len(labels) > 0
        assert np.isfinite(samples).all()

    @pytest.mark.parametrize("split", SPLITS)
    def test_the_same_split_is_the_same_file_and_is_not_written_again(self, images, again, split):
        path, labels = images.inputs(split)
        before = path.stat().st_mtime_ns
        for sets in (images, again):
            same, same_labels = sets.inputs(split)
            assert same == path
            assert np.array_equal(same_labels, labels)
        assert path.stat().st_mtime_ns == before

    def test_splits_share_no_file(self, images):
        assert len({images.inputs(split)[0] for split in SPLITS}) == len(SPLITS)

    def test_no_other_file_is_left_beside_them(self, images):
        paths = [images.inputs(split)[0] for split in SPLITS]
        assert sorted(paths[0].parent.iterdir()) == sorted(paths)
