import numpy as np
import pytest
from teaching.small import small_images

from autokd_edge.errors import DataError
from autokd_edge.teaching.data import data_source

SAMPLES = small_images(200)


def source(path, **arrays):
    np.savez(path / "mine.npz", **arrays)
    return data_source(f"npz:{path / 'mine.npz'}")


def test_the_names_of_keras_are_read(tmp_path):
    test = small_images(30, seed=4)
    found = source(tmp_path, x_train=SAMPLES.images[:, 0], y_train=SAMPLES.labels, x_test=test.images[:, 0], y_test=test.labels[:, None])
    data = found.teaching()
    assert (data.name, data.classes, data.image) == ("npz-mine", ("0", "1", "2"), (1, 8, 8))
    assert (len(data.train), len(data.validation)) == (180, 20)
    assert np.array_equal(found.test().images, test.images)
    assert np.array_equal(found.test().labels, test.labels)


def test_the_names_of_medmnist_are_read_with_their_validation_part(tmp_path):
    arrays = {}
    for part, count in (("train", 100), ("val", 20), ("test", 10)):
        samples = small_images(count, seed=count)
        arrays |= {f"{part}_images": samples.images.repeat(3, axis=1).transpose(0, 2, 3, 1), f"{part}_labels": samples.labels[:, None]}
    found = source(tmp_path, **arrays)
    data = found.teaching()
    assert (len(data.train), len(data.validation), len(found.test()), data.image) == (100, 20, 10, (3, 8, 8))
    assert np.array_equal(data.train.images[:, 1], small_images(100, seed=100).images[:, 0])


def test_one_part_gives_a_test_set_that_shares_nothing_with_it(tmp_path):
    found = source(tmp_path, images=SAMPLES.images, labels=SAMPLES.labels, classes=np.array(["a", "b", "c"]))
    data = found.teaching()
    assert (data.classes, len(found.test()), len(data.validation), len(data.train)) == (("a", "b", "c"), 20, 18, 162)
    assert found.warn_of_leaks(data) == 0


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": SAMPLES.images}, "must hold x_train and y_train or train_images and train_labels or images and labels; it holds x"),
        ({"images": SAMPLES.images / 255, "labels": SAMPLES.labels}, "must be uint8, 0 to 255; got float64"),
        ({"images": SAMPLES.images[:, 0, 0], "labels": SAMPLES.labels}, r"got \(200, 8\)"),
        ({"images": np.zeros((4, 8, 8, 2), np.uint8), "labels": np.arange(4)}, "with 1 or 3 channels"),
        ({"images": SAMPLES.images, "labels": SAMPLES.labels / 2}, "labels in .* must be whole numbers"),
        ({"images": SAMPLES.images, "labels": SAMPLES.labels[:9]}, "with n labels"),
        ({"images": SAMPLES.images, "labels": SAMPLES.labels - 1}, "must be 0 to 1 and not empty; .*-1 for one"),
        ({"images": SAMPLES.images, "labels": 0 * SAMPLES.labels}, "at least 2 classes; it has 1"),
        ({"images": SAMPLES.images, "labels": SAMPLES.labels, "classes": np.array(["a", "a", "c"])}, "must be different texts"),
        ({"images": SAMPLES.images, "labels": SAMPLES.labels, "classes": np.array(["a", "b"])}, "must be 0 to 1 and not empty"),
        (
            {"x_train": SAMPLES.images, "y_train": SAMPLES.labels, "x_test": SAMPLES.images[..., :6], "y_test": SAMPLES.labels},
            "one image shape; .*Hint: --image-size",
        ),
        (
            {"x_train": SAMPLES.images, "y_train": SAMPLES.labels, "x_test": SAMPLES.images[:3], "y_test": SAMPLES.labels[:3] + 1},
            "test part.* must be 0 to 2",
        ),
    ],
)
def test_arrays_that_are_no_labelled_images_are_refused(tmp_path, arrays, said):
    with pytest.raises(DataError, match=said):
        source(tmp_path, **arrays)


def test_an_array_of_objects_is_a_pickle_and_does_not_run(tmp_path):
    with pytest.raises(DataError, match="holds objects, that is pickles, which would run code"):
        source(tmp_path, images=np.array([{}, []], object), labels=np.arange(2))


def test_a_file_that_is_missing_cut_or_no_archive_is_named(tmp_path):
    path = tmp_path / "mine.npz"
    with pytest.raises(DataError, match=r"mine\.npz' does not"):
        data_source(f"npz:{path}")
    np.savez(path, images=SAMPLES.images, labels=SAMPLES.labels)
    whole = path.read_bytes()
    for data in (b"", b"nothing", whole[: len(whole) // 2], whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"mine\.npz"):
            data_source(f"npz:{path}")
    with path.open("wb") as stream:
        np.save(stream, SAMPLES.images)
    with pytest.raises(DataError, match=r"must be a whole \.npz archive; it is none"):
        data_source(f"npz:{path}")
