import io

import numpy as np
import pytest
from PIL import Image

from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.decode import decode


def written(picture: Image.Image, kind: str = "PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue


def test_a_picture_is_cut_to_its_centre_square_and_scaled():
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 200
    found = decode([written(Image.fromarray(pixels))], ["a"], 10, "here")
    assert (found.images == 200).all()
    assert found.images.shape == (1, 1, 10, 10)


def test_a_photograph_that_lies_on_its_side_is_turned_as_its_exif_says():
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255  # bright left half; turned by 90 degrees it is the upper one
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode([written(Image.fromarray(pixels), "JPEG", exif=exif, quality=95)], ["a"], None, "here")
    assert found.images.shape == (1, 3, 16, 8)
    assert found.images[0, :, :6].min() > 200
    assert found.images[0, :, 10:].max() < 50


def test_nothing_readable_is_an_error_that_names_one():
    with pytest.raises(DataError, match="images in 'here' must be readable; none of 2 is, 'a' for one"):
        decode([lambda: b"x", lambda: b""], ["a", "b"], None, "here")


def test_a_file_that_breaks_after_its_head_is_counted_as_corrupt():
    good = [written(Image.fromarray(np.full((40, 40), n, np.uint8))) for n in range(20)]
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    whole = written(Image.fromarray(noise))()
    found = decode([*good, lambda: whole[:400]], [str(n) for n in range(21)], None, "here")
    assert found.kept.tolist() == list(range(20))
    assert found.notes == ("1 of 21 images in 'here' are corrupt, '20' for one; they are left out",)
