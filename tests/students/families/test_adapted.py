import pytest

from autokd_edge.students.families.adapted import kept_strides, rounded_channels


@pytest.mark.parametrize(
    ("image", "kept"),
    [
        ((3, 224, 224), (2, 1, 2, 2)),
        ((3, 24, 24), (2, 1, 2, 2)),
        ((3, 23, 224), (1, 1, 2, 2)),
        ((3, 8, 8), (1, 1, 1, 2)),
        ((3, 5, 5), (1, 1, 1, 1)),
    ],
)
def test_the_first_strides_go_first_and_as_few_as_leave_three_pixels(image, kept):
    assert kept_strides(image, (2, 1, 2, 2)) == kept


@pytest.mark.parametrize(("channels", "rounded"), [(4, 8), (16, 16), (8.1, 8), (12, 16), (11.9, 16), (28.9, 32), (36, 40), (43.9, 40)])
def test_channels_are_rounded_to_eights_and_lose_at_most_a_tenth(channels, rounded):
    assert rounded_channels(channels) == rounded
    assert rounded >= 0.9 * channels
