import os

import numpy as np
import pytest
from PIL import Image
from teaching.readers.pictures import write_folder
from teaching.small import CLASSES, small_images

from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.folder import image_folder


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "birds", 120)
    return tmp_path / "birds"


def read(folder, side=None):
    return image_folder(folder, side, cache=folder.parent / "cache")


def test_class_folders_are_read_pixel_for_pixel(folder):
    source = read(folder)
    data = source.teaching()
    assert (data.name, data.classes, data.image) == ("imagefolder-birds", CLASSES, (1, 8, 8))
    assert (len(data.train), len(data.validation), len(source.test())) == (97, 11, 12)
    together = np.concatenate([data.train.images, data.validation.images, source.test().images])
    assert sorted(i.tobytes() for i in together) == sorted(i.tobytes() for i in small_images(120).images)
    by_pixels = {i.tobytes(): n for i, n in zip(small_images(120).images, small_images(120).labels, strict=True)}
    assert all(by_pixels[i.tobytes()] == n for i, n in zip(data.train.images, data.train.labels, strict=True))


def test_parts_are_told_by_their_folders(tmp_path):
    for part, count in (("train", 60), ("val", 20), ("test", 30)):
        write_folder(tmp_path / part, count, seed=count, colour=True)
    source = image_folder(tmp_path, None, cache=tmp_path / "cache")
    data = source.teaching()
    assert (len(data.train), len(data.validation), len(source.test()), data.image) == (60, 20, 30, (3, 8, 8))


def test_a_second_reading_opens_no_image_and_gives_the_same(folder):
    first = read(folder).teaching()
    times = {file: file.stat() for file in folder.rglob("*.png")}
    for file, status in times.items():
        file.write_bytes(bytes(status.st_size))  # unreadable now, but of the same size and time
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = read(folder).teaching()
    assert second.digest == first.digest
    assert np.array_equal(second.train.images, first.train.images)


def test_what_is_written_into_cached_images_stays_out_of_the_cache(tmp_path):
    for part, count in (("train", 60), ("val", 20), ("test", 30)):
        write_folder(tmp_path / part, count, seed=count)
    first, second = (image_folder(tmp_path, None, cache=tmp_path / "cache").teaching().train.images for _ in range(2))
    second[0] = 255 - second[0]  # torch takes no array that cannot be written without a warning
    assert not np.array_equal(first[0], second[0])
    third = image_folder(tmp_path, None, cache=tmp_path / "cache").teaching().train.images
    assert isinstance(third, np.memmap)
    assert np.array_equal(third, first)


def test_a_changed_image_is_read_again_even_where_its_file_keeps_its_size(tmp_path):
    write_folder(tmp_path / "maps", 60, suffix="bmp")
    first = image_folder(tmp_path / "maps", None, cache=tmp_path / "cache").teaching()
    file = next((tmp_path / "maps").rglob("*.bmp"))
    before = file.stat()
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert file.stat().st_size == before.st_size
    assert image_folder(tmp_path / "maps", None, cache=tmp_path / "cache").teaching().digest != first.digest


def test_a_damaged_cache_is_made_again(folder):
    first = read(folder).teaching()
    for file in (folder.parent / "cache").rglob("train.images.npy"):
        file.write_bytes(b"cut")
    assert read(folder).teaching().digest == first.digest


def test_a_cache_that_cannot_be_written_is_said_and_the_images_are_used(folder, caplog):
    (folder.parent / "cache").write_text("in the way")
    assert len(read(folder).teaching().train) == 97
    assert "decoded images cannot be kept" in caplog.text


def test_a_few_corrupt_images_are_left_out_and_counted_in_every_reading(folder, caplog):
    for file in sorted(folder.rglob("*.png"))[:4]:
        file.write_bytes(file.read_bytes()[:60])
    for _ in range(2):
        caplog.clear()
        source = read(folder)
        assert len(source.teaching().train) + len(source.teaching().validation) + len(source.test()) == 116
        assert "4 of 120 images in" in caplog.text
        assert "are corrupt, " in caplog.text
        assert "they are left out" in caplog.text


def test_many_corrupt_images_are_an_error(folder):
    for file in sorted(folder.rglob("*.png"))[:40]:
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match="at most 10% of the images may be corrupt; 40 of 120 images"):
        read(folder)


def test_grayscale_among_colour_is_counted_and_read_as_colour(folder, caplog):
    file = next(folder.rglob("*.png"))
    Image.open(file).convert("RGB").save(file)
    assert read(folder).teaching().image == (3, 8, 8)
    assert "119 of 120 images in" in caplog.text
    assert "are grayscale among colour; they are read as colour" in caplog.text


def test_images_of_many_sizes_need_the_size_that_is_wanted(folder):
    write_folder(folder, 5, seed=3, size=20)
    with pytest.raises(DataError, match=r"must be of one size .* they are of 2, from 8x8 to 20x20. Hint: --image-size"):
        read(folder)
    assert read(folder, 12).teaching().image == (1, 12, 12)


def test_images_of_more_than_8_bits_are_refused(folder):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(next(folder.rglob("*.png")))
    with pytest.raises(DataError, match="must have 8 bits a channel; 1 have more"):
        read(folder)


def test_transparent_and_palette_images_are_read_as_colour(folder):
    first, second = sorted(folder.rglob("*.png"))[:2]
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(first)
    Image.new("P", (8, 8), 3).save(second, transparency=3)
    assert read(folder).teaching().image == (3, 8, 8)


def test_an_empty_class_one_class_and_no_folder_are_refused(tmp_path, folder):
    (folder / "zebra").mkdir()
    (folder / "zebra" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match=r"every class folder must hold an image .*; '.*zebra' has none"):
        read(folder)
    write_folder(tmp_path / "one" / "all", 3)
    with pytest.raises(DataError, match=r"at least 2 class folders; '.*one' has 1"):
        image_folder(tmp_path / "one", None, cache=tmp_path / "cache")
    with pytest.raises(DataError, match=r"an image folder must be a folder; '.*none' is none"):
        image_folder(tmp_path / "none", None, cache=tmp_path / "cache")


def test_a_class_that_is_only_in_the_test_part_is_refused(tmp_path):
    write_folder(tmp_path / "train", 30)
    write_folder(tmp_path / "test", 30, seed=1)
    write_folder(tmp_path / "test" / "other", 3)
    with pytest.raises(DataError, match=r"'.*test' also has 'other'"):
        image_folder(tmp_path, None, cache=tmp_path / "cache")


def test_a_split_that_leaks_is_counted(tmp_path, caplog):
    write_folder(tmp_path / "train", 60, seed=1)
    write_folder(tmp_path / "test", 40, seed=2)
    for label in CLASSES:
        file = next((tmp_path / "train" / label).glob("*.png"))
        (tmp_path / "test" / label / f"copy-{file.name}").write_bytes(file.read_bytes())
    source = image_folder(tmp_path, None, cache=tmp_path / "cache")
    assert source.warn_of_leaks(source.teaching()) == 3
    assert "3 of 43 test images are also among the training images" in caplog.text
