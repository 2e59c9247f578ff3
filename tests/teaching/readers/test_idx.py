import gzip

import numpy as np
import pytest

from autokd_edge.errors import DataError
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.readers.idx import FASHION_CLASSES, read_idx


def write_idx(path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes(), compresslevel=1))


def write_fashion(folder, *, train=5_100, test=20, label=lambda i: i % 10) -> None:
    """Write a data set of Fashion-MNIST's form."""
    folder.mkdir(exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", np.arange(count)[:, None, None] * np.ones((1, 28, 28)) % 251)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.array([label(i) for i in range(count)]))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "images.gz"
    write_idx(path, np.arange(24).reshape(2, 3, 4))
    return path


class TestReadIdx:
    def test_an_idx_file_gives_its_array(self, file):
        assert np.array_equal(read_idx(file, dims=3), np.arange(24).reshape(2, 3, 4))

    def test_a_missing_file_is_named_with_the_command_that_gets_it(self, tmp_path):
        with pytest.raises(DataError, match=r"none\.gz' does not\. Hint: apt-get install"):
            read_idx(tmp_path / "none.gz", dims=1)

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(DataError, match="not a whole gzip file"):
            read_idx(tmp_path, dims=1)

    def test_a_file_that_is_not_gzip_is_refused(self, file):
        file.write_bytes(b"images")
        with pytest.raises(DataError, match="not a whole gzip file"):
            read_idx(file, dims=3)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_a_cut_file_is_refused(self, file, share):
        data = file.read_bytes()
        file.write_bytes(data[: int(share * len(data))])
        with pytest.raises(DataError, match="not a whole gzip file"):
            read_idx(file, dims=3)

    def test_a_changed_byte_is_refused(self, tmp_path):
        path = tmp_path / "images.gz"
        write_idx(path, np.random.default_rng(0).integers(0, 256, (20, 20, 20)))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
        with pytest.raises(DataError, match="not a whole gzip file"):
            read_idx(path, dims=3)

    @pytest.mark.parametrize(
        "inside",
        [b"", b"\0\0", b"\0\0\x08", b"\0\0\x0d\x03" + bytes(12), b"\x01\0\x08\x03" + bytes(12), b"\0\0\x08\x01" + bytes(12)],
        ids=["nothing", "half a head", "no dimensions", "floats", "wrong magic", "labels for images"],
    )
    def test_another_format_is_refused_with_its_head(self, file, inside):
        file.write_bytes(gzip.compress(inside))
        with pytest.raises(DataError, match="must be an IDX file of 3-dimensional bytes; its head is"):
            read_idx(file, dims=3)

    @pytest.mark.parametrize("change", [-1, 1])
    def test_a_file_with_too_few_or_too_many_values_is_refused(self, file, change):
        data = gzip.decompress(file.read_bytes())
        file.write_bytes(gzip.compress(data[:change] if change < 0 else data + b"\0"))
        with pytest.raises(DataError, match=f"must hold 24 values; it holds {24 + change}"):
            read_idx(file, dims=3)


class TestFashionMNIST:
    def test_a_folder_with_the_four_files_is_read(self, tmp_path):
        write_fashion(tmp_path / "data")
        source = data_source(f"fashion-mnist:{tmp_path / 'data'}")
        data = source.teaching()
        assert (len(data.train), len(data.validation), len(source.test())) == (100, 5_000, 20)
        assert (data.image, data.classes, data.name) == ((1, 28, 28), FASHION_CLASSES, "fashion-mnist")

    @pytest.mark.parametrize("part", ["train", "t10k"])
    @pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
    def test_each_missing_file_is_named_before_anything_is_read(self, tmp_path, part, kind):
        write_fashion(tmp_path, train=10)
        (tmp_path / f"{part}-{kind}-ubyte.gz").unlink()
        with pytest.raises(DataError, match=f"four .gz files must lie in '{tmp_path}'; it has no {part}-{kind}-ubyte.gz"):
            data_source(f"fashion-mnist:{tmp_path}")

    def test_a_folder_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(DataError, match="no train-images"):
            data_source(f"fashion-mnist:{tmp_path / 'none'}")

    @pytest.mark.parametrize("label", [10, 255])
    def test_a_label_out_of_range_is_refused(self, tmp_path, label):
        write_fashion(tmp_path, label=lambda i: label if i == 3 else i % 10)
        with pytest.raises(DataError, match="must be 0 to 9 and not empty; 1 of 5100 are not"):
            data_source(f"fashion-mnist:{tmp_path}").teaching()

    def test_an_empty_data_set_is_refused(self, tmp_path):
        write_fashion(tmp_path, train=0)
        with pytest.raises(DataError, match="not empty; there are none"):
            data_source(f"fashion-mnist:{tmp_path}").teaching()

    def test_more_labels_than_images_are_refused(self, tmp_path):
        write_fashion(tmp_path)
        write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(5_101))
        with pytest.raises(DataError, match=r"\(5100, 1, 28, 28\) and \(5101,\)"):
            data_source(f"fashion-mnist:{tmp_path}").teaching()

    def test_a_cut_test_file_does_not_keep_the_search_from_teaching(self, tmp_path):
        write_fashion(tmp_path)
        (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"cut")
        source = data_source(f"fashion-mnist:{tmp_path}")
        assert source.teaching().name == "fashion-mnist"
        with pytest.raises(DataError, match="t10k"):
            source.test()
