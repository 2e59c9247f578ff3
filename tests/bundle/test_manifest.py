import dataclasses
import json
from typing import Any

import pytest
from fakes.bundle import ENGINE, sample_card

from autokd_edge.bundle.manifest import FileEntry, Manifest, manifest_bytes, manifest_from_bytes
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.errors import BundleError

MANIFEST = Manifest(
    schema_version=1,
    created="2026-11-22T10:00:00+00:00",
    package_version="0.1.0",
    engine=FileEntry(name="engine.blob", sha256=digest_of_bytes(ENGINE), size_bytes=len(ENGINE)),
    files=(FileEntry(name="student.onnx", sha256=digest_of_bytes(b"x"), size_bytes=1),),
    card=sample_card(),
)


def test_a_manifest_comes_back_equal() -> None:
    assert manifest_from_bytes(manifest_bytes(MANIFEST), bundle="b") == MANIFEST


def test_raw_samples_take_one_line_for_each_block() -> None:
    lines = manifest_bytes(MANIFEST).decode().splitlines()
    samples = MANIFEST.shipped.blocks_ns[0]
    assert sum(str(list(samples)) in line for line in lines) == 1
    assert len(lines) < 2000


def test_a_label_that_looks_like_numbers_is_kept_as_it_is() -> None:
    labels = ("[ 1,   2 ]", "[\n 1 ]", *MANIFEST.card.labels[2:])
    odd = dataclasses.replace(MANIFEST, card=dataclasses.replace(MANIFEST.card, labels=labels))
    assert manifest_from_bytes(manifest_bytes(odd), bundle="b") == odd


def changed(edit: Any) -> bytes:
    document = json.loads(manifest_bytes(MANIFEST))
    edit(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "manifest.json of bundle 'b' must be JSON"),
        (b"\xff\xfe", "manifest.json of bundle 'b' must be JSON"),
        (b"[]", "schema version of bundle 'b' must be 1; got None"),
        (changed(lambda d: d.update(schema_version=2)), "schema version of bundle 'b' must be 1; got 2"),
        (changed(lambda d: d["card"].pop("labels")), "field 'card.labels': is missing"),
        (changed(lambda d: d["card"].update(mood="good")), "field 'card.mood': is not known"),
        (changed(lambda d: d["card"]["labels"].pop()), "labels must be as many as the student's classes, 10; got 9"),
        (changed(lambda d: d["card"]["input"]["shape"].__setitem__(2, 32)), "input must be the student's"),
        (changed(lambda d: d["card"]["input"]["shape"].__setitem__(1, 3)), "a mean and a std for each channel"),
        (changed(lambda d: d["card"].update(selftest_tolerance=0.0)), "selftest_tolerance must be positive; got 0"),
        (changed(lambda d: d["card"]["accuracies"][0].update(what="dog")), "must be one of teacher, student float, student engine"),
        (changed(lambda d: d["engine"].update(sha256="0" * 64)), "the engine must be the measured one"),
        (
            changed(lambda d: d["card"]["variant"].update(precision="int8")),
            "must hold a measurement of its engine, openvino/int8; got none",
        ),
        (changed(lambda d: d["files"].append(d["files"][0])), "must have different names"),
    ],
)
def test_a_manifest_that_breaks_a_law_is_refused_with_the_law(data: bytes, said: str) -> None:
    with pytest.raises(BundleError) as raised:
        manifest_from_bytes(data, bundle="b")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc/passwd", "a/b", "manifest.json"])
def test_a_file_outside_of_the_bundle_cannot_be_named(name: str) -> None:
    with pytest.raises(ValueError, match="must be a plain name"):
        FileEntry(name=name, sha256=digest_of_bytes(b""), size_bytes=0)


def test_the_shipped_reading_is_the_last_one_of_the_variant() -> None:
    last = dataclasses.replace(MANIFEST.card.measurements[1].measurement, flags=("again",))
    readings = (*MANIFEST.card.measurements, dataclasses.replace(MANIFEST.card.measurements[1], measurement=last))
    manifest = dataclasses.replace(MANIFEST, card=dataclasses.replace(MANIFEST.card, measurements=readings))
    assert manifest.shipped == last


def test_an_accuracy_is_found_by_network_and_split() -> None:
    card = MANIFEST.card
    found = card.accuracy("student engine", "test")
    assert found is not None
    assert found.percent == 92.6
    assert dataclasses.replace(card, accuracies=()).accuracy("student engine", "test") is None
