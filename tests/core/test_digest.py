from pathlib import Path

import pytest

from autokd_edge.core.digest import digest_of_bytes, digest_of_file, digest_of_json

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_bytes_hash_to_the_value_of_the_standard() -> None:
    assert digest_of_bytes(b"abc") == ABC


def test_a_file_hashes_like_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert digest_of_file(path) == ABC


def test_the_order_of_keys_does_not_matter_and_values_do() -> None:
    assert digest_of_json({"a": 1, "b": [2]}) == digest_of_json({"b": [2], "a": 1})
    assert digest_of_json({"a": 1}) != digest_of_json({"a": 1.0})
    assert digest_of_json([1, 2]) != digest_of_json([2, 1])


def test_what_is_not_json_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of_json({"loss": float("nan")})
