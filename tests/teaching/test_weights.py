import pytest
import torch
from fakes.small_disk import small_disk
from safetensors import safe_open

from autokd_edge.errors import StoreError
from autokd_edge.teaching.weights import write_arrays

ARRAYS = {"a": torch.arange(6.0), "b": torch.ones(2, 3, dtype=torch.float16)}


def test_arrays_and_text_come_back(tmp_path):
    write_arrays(tmp_path / "folder" / "w.safetensors", ARRAYS, {"word": "text"})
    with safe_open(tmp_path / "folder" / "w.safetensors", framework="pt") as stream:
        assert stream.metadata() == {"word": "text"}
        assert torch.equal(stream.get_tensor("a"), ARRAYS["a"])
        assert stream.get_tensor("b").dtype == torch.float16
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["w.safetensors"]


def test_a_full_disk_leaves_the_old_file_whole_and_no_part_of_the_new_one(tmp_path):
    with small_disk(tmp_path / "disk", kibibytes=64) as disk:
        write_arrays(disk / "w.safetensors", ARRAYS)
        before = (disk / "w.safetensors").read_bytes()
        with pytest.raises(StoreError, match=r"No space left.*Hint: free some space"):
            write_arrays(disk / "w.safetensors", {"a": torch.zeros(50_000)})
        assert (disk / "w.safetensors").read_bytes() == before
        assert [path.name for path in disk.iterdir()] == ["w.safetensors"]
