import dataclasses
from pathlib import Path

import pytest
from fakes.bundle import sample_card, write_sample_bundle

from autokd_edge.bundle.checker import check_bundle, read_bundle
from autokd_edge.errors import BundleError

HERE = "x86_64"  # the architecture in the sample fingerprint


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_sample_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(folder: Path, *, machine: str = HERE) -> str:
    with pytest.raises(BundleError) as raised:
        check_bundle(folder, machine=machine)
    said = str(raised.value)
    assert "\n" not in said
    return said


def test_a_whole_bundle_gives_its_manifest(bundle: Path) -> None:
    assert check_bundle(bundle, machine=HERE) == read_bundle(bundle)


@pytest.mark.parametrize("name", ["engine.blob", "student.onnx", "selftest_inputs.npy", "selftest_logits.npy", "predict.py", "README.txt"])
def test_a_changed_byte_in_any_file_is_refused_with_its_name(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[-1] ^= 1
    (bundle / name).write_bytes(data)
    assert f"'{name}' of bundle '{bundle}' was changed: its sha256 must be " in refusal(bundle)


def test_a_cut_file_is_refused_with_both_sizes(bundle: Path) -> None:
    (bundle / "engine.blob").write_bytes(b"engine")
    assert "'engine.blob' of bundle" in refusal(bundle)
    assert "must have 12 bytes; it has 6" in refusal(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "student.onnx").unlink()
    assert "'student.onnx' is missing" in refusal(bundle)


def test_an_extra_file_is_named(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("")
    assert "'notes.txt' is extra" in refusal(bundle)


def test_a_damaged_manifest_is_refused(bundle: Path) -> None:
    data = (bundle / "manifest.json").read_bytes()
    (bundle / "manifest.json").write_bytes(data[: len(data) // 2])
    assert "must be JSON" in refusal(bundle)


@pytest.mark.parametrize("folder", ["absent", "."])
def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, folder: str) -> None:
    assert "must be a folder with a manifest.json" in refusal(tmp_path / folder)


def test_another_architecture_is_refused_with_both(bundle: Path) -> None:
    said = refusal(bundle, machine="aarch64")
    assert "must run on x86_64, as target 'host' does; the machine is aarch64" in said
    assert read_bundle(bundle).card.target.name == "host"  # but a report may be made anywhere


def test_a_missing_runtime_is_refused_with_the_command_that_installs_it(tmp_path: Path) -> None:
    write_sample_bundle(tmp_path / "bundle", sample_card(package="no_such_runtime", version="1.0"))
    assert refusal(tmp_path / "bundle") == (
        "this engine needs no_such_runtime 1.0, which is not installed. Hint: pip install no_such_runtime==1.0"
    )


def test_another_version_of_the_runtime_is_refused_with_both(tmp_path: Path) -> None:
    write_sample_bundle(tmp_path / "bundle", sample_card(package="numpy", version="1.0"))
    assert "this engine needs numpy 1.0; 2." in refusal(tmp_path / "bundle")


def test_a_runtime_without_a_version_is_refused(tmp_path: Path) -> None:
    write_sample_bundle(tmp_path / "bundle", sample_card(package="json", version="1.0"))
    assert "does not say its version" in refusal(tmp_path / "bundle")


def test_the_machine_is_this_one_where_none_is_named(tmp_path: Path) -> None:
    card = sample_card()
    elsewhere = dataclasses.replace(card, fingerprint=dataclasses.replace(card.fingerprint, machine="pdp11"))
    write_sample_bundle(tmp_path / "other", elsewhere)
    with pytest.raises(BundleError, match="must run on pdp11"):
        check_bundle(tmp_path / "other")
