import numpy as np

from autokd_edge.teaching.resize import resized


def test_images_of_the_size_are_left_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    assert resized(images, 8) is images


def test_an_even_image_stays_even_at_every_size():
    images = np.full((2, 3, 20, 30), 77, np.uint8)
    for side in (7, 20, 33):
        assert (resized(images, side) == 77).all()
        assert resized(images, side).shape == (2, 3, side, side)


def test_halving_averages_neighbours_with_antialiasing():
    stripes = np.zeros((1, 1, 8, 8), np.uint8)
    stripes[..., ::2] = 200
    small = resized(stripes, 4)
    assert abs(small[0, 0, :, 1:3].astype(int) - 100).max() <= 20  # a nearest neighbour would give 0 or 200


def test_a_wide_image_is_cut_to_its_centre():
    images = np.zeros((1, 1, 4, 12), np.uint8)
    images[..., 4:8] = 255
    assert (resized(images, 4) == 255).all()
