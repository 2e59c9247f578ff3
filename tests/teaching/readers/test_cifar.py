import os
import pickle
import pickletools
import tarfile

import numpy as np
import pytest

from autokd_edge.errors import DataError
from autokd_edge.teaching.data import data_source

COUNT = 20  # of each file; the real ones have 10,000
NAMES = {10: [f"kind{n}" for n in range(10)], 100: [f"fine{n}" for n in range(100)]}


def batch(seed: int, classes: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (COUNT, 3072), dtype=np.uint8), [(seed * COUNT + n) % classes for n in range(COUNT)]


def write_binary(folder, classes: int) -> None:
    folder.mkdir()
    files = {f"data_batch_{n}.bin": n for n in range(1, 6)} | {"test_batch.bin": 9}
    files = files if classes == 10 else {"train.bin": 1, "test.bin": 9}
    for name, seed in files.items():
        data, labels = batch(seed, classes)
        heads = [[label] if classes == 10 else [label // 5, label] for label in labels]
        (folder / name).write_bytes(np.concatenate([np.array(heads, np.uint8), data], axis=1).tobytes())
    (folder / ("batches.meta.txt" if classes == 10 else "fine_label_names.txt")).write_text("\n".join(NAMES[classes]) + "\n")


def write_python(folder, classes: int, *, protocol: int = 2) -> None:
    folder.mkdir()
    files = {f"data_batch_{n}": n for n in range(1, 6)} | {"test_batch": 9} if classes == 10 else {"train": 1, "test": 9}
    for name, seed in files.items():
        data, labels = batch(seed, classes)
        own = {"labels": labels} if classes == 10 else {"fine_labels": labels, "coarse_labels": [n // 5 for n in labels]}
        (folder / name).write_bytes(pickle.dumps({"data": data, **own}, protocol=protocol))
    meta = {"label_names": NAMES[10]} if classes == 10 else {"fine_label_names": NAMES[100], "coarse_label_names": []}
    (folder / ("batches.meta" if classes == 10 else "meta")).write_bytes(pickle.dumps(meta, protocol=protocol))


WRITERS = {"binary": write_binary, "python": write_python}


@pytest.mark.parametrize("version", WRITERS)
def test_cifar_10_is_read_as_it_is_distributed(tmp_path, version):
    WRITERS[version](tmp_path / "cifar-10-batches", 10)
    for place in (tmp_path / "cifar-10-batches", tmp_path):
        source = data_source(f"cifar10:{place}")
        data = source.teaching()
        assert (data.name, data.image, data.classes) == ("cifar10", (3, 32, 32), tuple(NAMES[10]))
        assert (len(data.train) + len(data.validation), len(source.test())) == (5 * COUNT, COUNT)
        pixels, labels = batch(9, 10)
        assert np.array_equal(source.test().images, pixels.reshape(-1, 3, 32, 32))
        assert source.test().labels.tolist() == labels


def test_both_versions_give_the_same_data(tmp_path):
    write_binary(tmp_path / "b", 10)
    write_python(tmp_path / "p", 10)
    assert data_source(f"cifar10:{tmp_path / 'b'}").teaching().digest == data_source(f"cifar10:{tmp_path / 'p'}").teaching().digest


@pytest.mark.parametrize("version", WRITERS)
def test_cifar_100_is_read_by_its_fine_classes(tmp_path, version):
    WRITERS[version](tmp_path / "c", 100)
    assert data_source(f"cifar100:{tmp_path / 'c'}").test().labels.tolist() == batch(9, 100)[1]


def test_the_archive_itself_is_read(tmp_path):
    write_python(tmp_path / "cifar-10-batches-py", 10)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    assert len(data_source(f"cifar10:{tmp_path / 'cifar-10-python.tar.gz'}").test()) == COUNT
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "cifar-10-python.tar.gz").read_bytes()[:5_000])
    with pytest.raises(DataError, match=r"cut\.tar\.gz"):
        data_source(f"cifar10:{tmp_path / 'cut.tar.gz'}")


class Bomb:
    """A pickle of this runs a command when it is read by pickle itself."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("file", ["data_batch_3", "batches.meta", "test_batch"])
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(tmp_path, file):
    write_python(tmp_path / "c", 10)
    (tmp_path / "c" / file).write_bytes(pickle.dumps({"data": Bomb(tmp_path / "ran"), "labels": []}, protocol=2))
    with pytest.raises(
        DataError, match=f"'{file}' in .* must hold arrays of bytes and nothing else; it names posix.mkdir, which is no array"
    ):
        data_source(f"cifar10:{tmp_path / 'c'}")
    assert not (tmp_path / "ran").exists()


def test_the_names_that_are_let_through_are_those_of_arrays_alone(tmp_path):
    write_python(tmp_path / "c", 10)
    names = {arg for op, arg, _ in pickletools.genops((tmp_path / "c" / "test_batch").read_bytes()) if op.name == "GLOBAL"}
    assert {name.split(" ")[0].split(".")[0] for name in names} <= {"numpy", "_codecs"}
    # numpy's own functions are named too, but not these: nothing else of numpy can be reached
    (tmp_path / "c" / "test_batch").write_bytes(b"cnumpy\nfromfile\n(S'/etc/hostname'\ntR.")
    with pytest.raises(DataError, match=r"names numpy\.fromfile"):
        data_source(f"cifar10:{tmp_path / 'c'}")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"data": np.zeros((2, 3072)), "labels": [0, 1]}, "must hold arrays of bytes; one is of f8"),
        ({"data": np.zeros((2, 30), np.uint8), "labels": [0, 1]}, r"must hold 'data' \(n, 3072\)"),
        ({"data": np.zeros((2, 3072), np.uint8)}, "and 'labels'"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]}, "must be whole numbers"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "with n labels"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}, "test part.* must be 0 to 9"),
        ([1, 2], "must hold a dictionary"),
    ],
    ids=["floats", "small", "no labels", "texts", "few", "range", "list"],
)
def test_files_that_hold_something_else_are_refused(tmp_path, written, said):
    write_python(tmp_path / "c", 10)
    (tmp_path / "c" / "test_batch").write_bytes(pickle.dumps(written, protocol=2))
    with pytest.raises(DataError, match=said):
        data_source(f"cifar10:{tmp_path / 'c'}")


def test_missing_and_cut_files_are_named(tmp_path):
    write_binary(tmp_path / "b", 10)
    write_python(tmp_path / "p", 10)
    (tmp_path / "p" / "data_batch_4").unlink()
    with pytest.raises(DataError, match="it has no data_batch_4"):
        data_source(f"cifar10:{tmp_path / 'p'}")
    (tmp_path / "b" / "data_batch_2.bin").write_bytes(bytes(5_000))
    with pytest.raises(DataError, match=r"'data_batch_2\.bin' in .* must hold records of 3073 bytes; it has 5000"):
        data_source(f"cifar10:{tmp_path / 'b'}")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"must be a folder or \.tar\.gz with data_batch_1\.bin or data_batch_1; '.*none' has neither"):
        data_source(f"cifar10:{tmp_path / 'none'}")
    with pytest.raises(DataError, match="is neither"):
        data_source(f"cifar10:{tmp_path / 'nowhere'}")
